// @ts-check
// Fields of a tool's input or output as a definition list: what a tool without a card of its own is shown with.

import { h } from "../../dom.js";
import { nameOf, t } from "../../texts.js";
import { date, dateTime } from "../../format.js";

const DEPTH = 4;
const ITEMS = 20;
const INSTANT = /^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(\.\d+)?Z$/;
const DAY = /^\d{4}-\d{2}-\d{2}$/;

/** @param {Record<string, any>} fields @param {number} [depth] @returns {HTMLElement} */
export function fieldList(fields, depth = 0) {
  const shown = Object.entries(fields).filter(([, value]) => value !== null && value !== undefined && value !== "");
  if (shown.length === 0) return h("p", { class: "quiet" }, t("conversations.no_fields"));
  return h("dl", { class: ["fields", depth > 0 && "inner"] }, shown.map(([name, value]) => h("div", null, h("dt", null, label(name)), h("dd", null, valueOf(value, depth)))));
}

/** A pair of name and value for lists that are written by hand; nothing without a value. @param {string} name @param {import("../../dom.js").Child} value */
export function pair(name, value) {
  return value === null || value === undefined || value === false || value === "" ? null : h("div", null, h("dt", null, name), h("dd", null, value));
}

/** @param {string} name */
function label(name) {
  const words = nameOf("field_names", name);
  return words.charAt(0).toUpperCase() + words.slice(1);
}

/** @param {any} value @param {number} depth @returns {import("../../dom.js").Child} */
function valueOf(value, depth) {
  if (typeof value === "boolean") return t(value ? "ui.yes" : "ui.no");
  if (typeof value === "string") return INSTANT.test(value) ? dateTime(value) : DAY.test(value) ? date(value) : value;
  if (typeof value !== "object") return String(value);
  if (depth >= DEPTH) return JSON.stringify(value);
  if (!Array.isArray(value)) return fieldList(value, depth + 1);
  if (value.length === 0) return t("ui.none");
  if (value.every((each) => typeof each !== "object" || each === null)) return value.join(", ");
  const more = value.length - ITEMS;
  return h("ol", { class: "field-items" }, value.slice(0, ITEMS).map((each) => h("li", null, valueOf(each, depth + 1))),
    more > 0 && h("li", { class: "quiet" }, t("conversations.and_more", { n: more })));
}
