// @ts-check
// Names with their values: what is known of one thing, and the exact input of a tool.

import { h } from "./dom.js";
import { nameOf, t } from "./texts.js";

/** @typedef {import("./dom.js").Child} Child */

/** A list of names and values; empty values are left out. @param {([label: Child, value: Child] | false)[]} pairs @param {string} [more] */
export function facts(pairs, more) {
  const known = pairs.filter((each) => each !== false && each[1] !== null && each[1] !== "" && each[1] !== false);
  return h("dl", { class: ["facts", more] }, known.map((each) => each !== false && h("div", null, h("dt", null, each[0]), h("dd", null, each[1]))));
}

/** A JSON value as nested lists of text. @param {unknown} value @returns {Child} */
export function tree(value) {
  if (value === null) return "–";
  if (typeof value === "boolean") return t(value ? "ui.yes" : "ui.no");
  if (Array.isArray(value)) return value.length === 0 ? "–" : h("ul", { class: "tree" }, value.map((each) => h("li", null, tree(each))));
  if (typeof value !== "object") return String(value);
  const pairs = Object.entries(/** @type {object} */ (value));
  return pairs.length === 0 ? "–" : facts(pairs.map(([name, each]) => [nameOf("field_names", name), tree(each)]), "tree");
}
