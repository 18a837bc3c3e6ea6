// @ts-check
// The filters above a list: a form that shows what it finds while one types, and keeps what is asked in the address.

import { h } from "./dom.js";
import { date } from "./format.js";
import { t } from "./texts.js";
import { button, values } from "./ui.js";

const PAUSE_MS = 350;

/** @typedef {Record<string, string>} Chosen */

/**
 * A form whose fields narrow a list. `more` are behind a disclosure, which is open while one of them is set.
 * `change` gets the filled fields by name, at once for a choice and after a moment for a text.
 * @param {{ name: string, fields: HTMLElement[], more?: HTMLElement[], change: (chosen: Chosen) => void }} props
 * @returns {HTMLFormElement}
 */
export function filters({ name, fields, more = [], change }) {
  let timer = 0;
  let before = "";
  const clear = button(t("filters.clear"), () => {
    for (const each of /** @type {Iterable<any>} */ (made.elements)) if (each.name) each.type === "checkbox" ? each.checked = false : each.value = each.dataset.none ?? "";
    apply();
    /** @type {HTMLElement | null} */ (made.querySelector("input, select"))?.focus();
  }, { tone: "quiet" });
  const paper = h("p", { class: "on-paper" });
  const rest = h("details", { class: "more-filters" }, h("summary", null, t("filters.more")), h("div", { class: "filter-fields" }, more));
  const made = h("form", { class: "filters", role: "search", "aria-label": name, novalidate: true },
    h("div", { class: "filter-fields" }, fields, h("div", { class: "filter-clear" }, clear)), more.length > 0 && rest, paper);

  function apply() {
    clearTimeout(timer);
    if (!made.isConnected) return;
    const chosen = filled(made);
    paper.textContent = written(made);
    clear.hidden = Object.keys(chosen).length === 0;
    const now = JSON.stringify(chosen);
    if (now === before) return;
    before = now;
    change(chosen);
  }
  made.addEventListener("submit", (event) => {
    event.preventDefault();
    apply();
  });
  made.addEventListener("change", apply);
  made.addEventListener("input", () => {
    clearTimeout(timer);
    timer = setTimeout(apply, PAUSE_MS);
  });
  const first = filled(made);
  paper.textContent = written(made);
  before = JSON.stringify(first);
  clear.hidden = Object.keys(first).length === 0;
  rest.open = more.some((each) => valueOf(each) !== "");
  return made;
}

/** What is filled in, by name. A field's `data-none` is the value that chooses nothing. @param {HTMLFormElement} form @returns {Chosen} */
function filled(form) {
  /** @type {Chosen} */
  const chosen = {};
  for (const [name, value] of Object.entries(values(form))) {
    const text = value === true ? "1" : value === false ? "" : String(value).trim();
    const control = /** @type {HTMLElement} */ (form.elements.namedItem(name));
    if (text !== "" && text !== control.dataset.none) chosen[name] = text;
  }
  return chosen;
}

/** What is filled in, in words: what a list is narrowed to, on paper. @param {HTMLFormElement} form */
function written(form) {
  return [...form.querySelectorAll(".field")].map((each) => {
    const control = /** @type {any} */ (each.querySelector("input, select"));
    const label = each.querySelector("label")?.firstChild?.textContent;
    if (control.type === "checkbox") return control.checked && label;
    const value = control.type === "date" && control.value ? date(control.value) : control.selectedOptions?.[0]?.textContent ?? control.value.trim();
    return value && `${label}: ${value}`;
  }).filter(Boolean).join(" · ");
}

/** @param {HTMLElement} field */
function valueOf(field) {
  return /** @type {HTMLInputElement | null} */ (field.querySelector("input, select"))?.value ?? "";
}

/** What the address names of these filters. @param {URLSearchParams} query @param {readonly string[]} names @returns {Chosen} */
export function chosenIn(query, names) {
  return Object.fromEntries(names.map((name) => [name, query.get(name) ?? ""]).filter(([, value]) => value !== ""));
}

/** A signal for what the latest choice started: `next()` ends the one before. @param {() => AbortSignal} whole */
export function latest(whole) {
  let present = new AbortController();
  return () => {
    present.abort();
    present = new AbortController();
    return AbortSignal.any([whole(), present.signal]);
  };
}
