// @ts-check
// The parts all views are made of.

import { append, h, replace } from "./dom.js";
import { icon } from "./icons.js";
import { anchor } from "./router.js";
import { fieldSentence, sentence, t } from "./texts.js";

/** @typedef {import("./dom.js").Child} Child */
/** @typedef {import("./dom.js").Props} Props */

let ids = 0;
/** An id for elements that name one another. @param {string} [stem] */
export function id(stem = "id") {
  return `${stem}-${++ids}`;
}

/** The head of a view: its one `h1`, a sentence below it, and what can be done; `paper` is its heading on paper, if that is another. @param {Child} title @param {{ lead?: Child, actions?: Child, paper?: string }} [more] */
export function header(title, { lead, actions, paper } = {}) {
  return h("header", { class: "head" },
    h("div", { class: "head-words" }, h("h1", { tabindex: "-1", class: paper && "off-paper" }, title), paper && h("p", { class: "on-paper paper-title" }, paper), lead && h("p", { class: "lead" }, lead)),
    actions && h("div", { class: "actions" }, actions));
}

/** What a button does, once at a time; when it fails, a toast says why, unless the view was left meanwhile. @param {Child} label @param {(event: MouseEvent) => unknown} act @param {Props & { tone?: "primary" | "danger" | "quiet" }} [props] */
export function button(label, act, { tone, class: more, ...props } = {}) {
  let running = false;
  const click = async (/** @type {MouseEvent} */ event) => {
    if (running) return;
    running = true;
    try {
      await act(event);
    } catch (error) {
      if (/** @type {any} */ (error)?.name === "AbortError") return;
      toast(sentence(error), "bad");
      report(error);
    } finally {
      running = false;
    }
  };
  return h("button", { type: "button", class: ["button", tone, more], on: { click }, ...props }, label);
}

/** A failure that is none of the service's is a defect of the page. @param {unknown} error */
function report(error) {
  if (!(error instanceof Error && error.name === "Problem")) console.error(error);
}

/** A part of a view with its own heading. @param {Child} title @param {...Child} children */
export function section(title, ...children) {
  return h("section", { class: "card" }, h("h2", null, title), children);
}

/** Disables a button while `act` runs, and says so. @template T @param {HTMLButtonElement} pressed @param {() => Promise<T>} act @returns {Promise<T>} */
export async function busy(pressed, act) {
  const focused = document.activeElement === pressed;
  pressed.setAttribute("aria-busy", "true");
  pressed.disabled = true;
  try {
    return await act();
  } finally {
    pressed.removeAttribute("aria-busy");
    pressed.disabled = false;
    if (focused && (document.activeElement === null || document.activeElement === document.body)) pressed.focus();
  }
}

/**
 * A labelled field. `options` makes it a select (value and label), `rows` a text area; `hint` stands below the label.
 * @param {{ name: string, label: Child, type?: string, value?: any, hint?: Child, options?: [string, string][], rows?: number, required?: boolean, control?: Props }} props
 * @returns {HTMLElement}
 */
export function field({ name, label, type = "text", value, hint, options, rows, required = false, control = {} }) {
  const own = id(name);
  const hintId = hint ? `${own}-hint` : null;
  const props = { id: own, name, required, "aria-describedby": hintId, ...control };
  const input = options
    ? h("select", props, options.map(([key, words]) => h("option", { value: key, selected: String(value ?? "") === key }, words)))
    : rows
      ? h("textarea", { ...props, rows, value: value ?? "" })
      : type === "checkbox"
        ? h("input", { ...props, type, checked: Boolean(value) })
        : h("input", { ...props, type, value: value ?? "" });
  const optional = required || type === "checkbox" || options ? null : h("span", { class: "optional" }, " ", t("ui.optional"));
  return h("div", { class: ["field", type === "checkbox" && "check"], data: { field: name } },
    h("label", { for: own }, label, optional), hint && h("p", { class: "hint", id: hintId }, hint), input,
    h("p", { class: "error", id: `${own}-error`, hidden: true }));
}

/** Offers values without insisting on them. @param {HTMLElement} field @param {string[]} values */
export function listed(field, values) {
  const list = id("values");
  field.querySelector("input")?.setAttribute("list", list);
  field.append(h("datalist", { id: list }, values.map((value) => h("option", { value }))));
  return field;
}

/** Shows what is wrong with a field, or that nothing is. @param {Element} field @param {string | null} text */
export function setError(field, text) {
  const input = /** @type {HTMLInputElement} */ (field.querySelector("input, select, textarea"));
  const error = /** @type {HTMLElement} */ (field.querySelector(".error"));
  const hint = field.querySelector(".hint")?.id;
  error.hidden = text === null;
  error.textContent = text ?? "";
  input.setAttribute("aria-invalid", String(text !== null));
  const described = [hint, text === null ? null : error.id].filter(Boolean).join(" ");
  if (described) input.setAttribute("aria-describedby", described);
  else input.removeAttribute("aria-describedby");
}

/**
 * A form. `submit` gets its values (texts; checkboxes as booleans); what it throws is shown at the fields and above the button.
 * @param {{ fields: Child[], submit: (values: Record<string, any>) => Promise<unknown>, label: Child, cancel?: () => void, tone?: "primary" | "danger", class?: string, explain?: (error: any) => string }} props
 * @returns {HTMLFormElement}
 */
export function form({ fields, submit, label, cancel, tone = "primary", class: more, explain = sentence }) {
  const sum = h("p", { class: "problem", role: "alert", hidden: true });
  const send = h("button", { class: ["button", tone] }, label);
  const leave = cancel && button(t("ui.cancel"), cancel);
  const made = h("form", { class: ["form", more], novalidate: true }, fields, sum,
    h("div", { class: "form-actions" }, send, leave));
  made.addEventListener("submit", async (event) => {
    event.preventDefault();
    if (send.disabled) return;
    sum.hidden = true;
    if (!complete(made)) return;
    if (leave) leave.disabled = true;
    try {
      await busy(send, () => submit(values(made)));
    } catch (error) {
      refuse(made, sum, error, explain);
    } finally {
      if (leave) leave.disabled = false;
    }
  });
  return made;
}

/** The values of a form by name. @param {HTMLFormElement} form @returns {Record<string, any>} */
export function values(form) {
  const found = /** @type {Record<string, any>} */ ({});
  for (const each of /** @type {Iterable<any>} */ (form.elements)) if (each.name) found[each.name] = each.type === "checkbox" ? each.checked : each.value;
  return found;
}

/** Marks what is missing or malformed; the first such field gets the focus. @param {HTMLFormElement} form */
function complete(form) {
  const wrong = [];
  for (const each of form.querySelectorAll(".field")) {
    const input = /** @type {HTMLInputElement} */ (each.querySelector("input, select, textarea"));
    const error = wrongWith(input);
    setError(each, error);
    if (error !== null) wrong.push(input);
  }
  wrong[0]?.focus();
  return wrong.length === 0;
}

/** What the browser finds wrong with a control, in the language of the page; a pattern's control says in its title what is asked for. @param {HTMLInputElement} input */
function wrongWith({ validity: found, type, minLength, min, max, title }) {
  if (found.valid) return null;
  const said = (/** @type {string} */ code, ctx = {}) => fieldSentence({ code, ctx });
  if (found.badInput) return said(type === "date" ? "date_from_datetime_parsing" : "int_type");
  if (found.valueMissing) return said("missing");
  if (found.typeMismatch) return said("invalid_email");
  if (found.tooShort) return said("string_too_short", { min_length: minLength });
  if (found.rangeUnderflow) return said("greater_than_equal", { ge: min });
  if (found.rangeOverflow) return said("less_than_equal", { le: max });
  if (found.stepMismatch) return said("int_type");
  return title || said("wrong");
}

/** Shows what the service says at the field of its name, which a list in the body may have in front of it. @param {HTMLFormElement} form @param {HTMLElement} sum @param {any} error @param {(error: any) => string} explain */
function refuse(form, sum, error, explain) {
  let first = null;
  const rest = [];
  for (const [name, refused] of Object.entries(/** @type {Record<string, any>} */ (error.fields ?? {}))) {
    const shown = form.querySelector(`[data-field="${CSS.escape(name.split(".").at(-1) ?? "")}"]`);
    if (shown === null) rest.push(name === "token" ? sentence(error) : fieldSentence(refused));
    else setError(shown, fieldSentence(refused));
    first ??= /** @type {HTMLElement | null} */ (shown?.querySelector("input, select, textarea") ?? null);
  }
  if (first === null || rest.length > 0) {
    sum.textContent = rest.length > 0 ? rest.join(" ") : explain(error);
    sum.hidden = false;
    if (error.code === "too_many_attempts") told(sum, error.retryAfter);
  }
  first?.focus();
  report(error);
}

/** Says that a wait is over, unless something else was said meanwhile. @param {HTMLElement} sum @param {number} seconds */
function told(sum, seconds) {
  const said = sum.textContent;
  setTimeout(() => { if (sum.textContent === said) sum.textContent = t("problems.again_now"); }, seconds * 1000);
}

/**
 * A dialog over the page. `content` gets a function that closes it with a result; the promise is that result, null if it was dismissed
 * or its view left, which has to wait while something is sent: a key that was made would never be shown.
 * @template T @param {{ title: string, content: (close: (result: T | null) => void) => Child, wide?: boolean }} props @returns {Promise<T | null>}
 */
export function dialog({ title, content, wide = false }) {
  return new Promise((resolve) => {
    const heading = id("dialog");
    /** @type {any} */
    let result = null;
    const close = (/** @type {any} */ value) => {
      result = value;
      shown.close();
    };
    const sends = () => shown.querySelector("[aria-busy]") !== null;
    const left = () => sends() || close(null);
    const shown = h("dialog", { class: ["dialog", wide && "wide"], "aria-labelledby": heading, on: {
      cancel: (/** @type {Event} */ event) => sends() && event.preventDefault(),
      close: () => {
        removeEventListener("hashchange", left);
        if (shown.contains(toasts)) document.body.append(toasts);
        shown.remove();
        resolve(result);
      },
    } },
      h("div", { class: "dialog-head" }, h("h2", { id: heading }, title),
        h("button", { type: "button", class: "icon-button", "aria-label": t("ui.close"), on: { click: left } }, icon("close"))),
      content(close));
    document.body.append(shown);
    addEventListener("hashchange", left);
    shown.showModal();
    /** @type {HTMLElement | null} */ (shown.querySelector("[data-focus]"))?.focus();
  });
}

/**
 * Asks before something is done, and does it: `act` runs while the dialog is open, which says why it fails.
 * @param {{ title: string, text: Child, label: string, tone?: "primary" | "danger", act?: () => Promise<unknown> }} props @returns {Promise<boolean>}
 */
export async function confirm({ title, text, label, tone = "danger", act = async () => null }) {
  const answer = await dialog({
    title,
    content: (close) => form({ label, tone, fields: [h("p", null, text)], cancel: () => close(null), submit: async () => { await act(); close(true); } }),
  });
  return answer === true;
}

/** A button that opens a list of links and acts; `name` says what a label without words is for. @param {{ label: Child, name?: string, items: (HTMLElement | false | null)[] }} props */
export function menu({ label, name, items }) {
  const own = id("menu");
  const list = h("div", { class: "menu-items", id: own, hidden: true }, items);
  const opener = button(label, () => toggle(list.hidden), { "aria-expanded": "false", "aria-controls": own, "aria-label": name ?? null, tone: "quiet" });
  const whole = h("div", { class: "menu" }, opener, list);
  /** @param {boolean} open */
  function toggle(open) {
    list.hidden = !open;
    opener.setAttribute("aria-expanded", String(open));
    if (open) /** @type {HTMLElement | null} */ (list.querySelector("a, button"))?.focus();
  }
  whole.addEventListener("keydown", (event) => {
    if (event.key !== "Escape" || list.hidden) return;
    toggle(false);
    opener.focus();
  });
  whole.addEventListener("focusout", (event) => {
    if (!whole.contains(/** @type {Node | null} */ (event.relatedTarget))) toggle(false);
  });
  list.addEventListener("click", () => { // before the item acts: a dialog gives the focus back to where it was
    opener.focus();
    toggle(false);
  }, { capture: true });
  return whole;
}

/** A short word with a colour. @param {Child} text @param {"good" | "warn" | "bad" | "info" | "plain"} [tone] */
export function badge(text, tone = "plain") {
  return h("span", { class: ["badge", tone] }, text);
}

/** What an empty list says: what would stand here, and how it comes about. @param {{ title: Child, text?: Child, action?: Child }} props */
export function empty({ title, text, action }) {
  return h("div", { class: "empty" }, h("p", { class: "empty-title" }, title), text && h("p", null, text), action);
}

/** The head of a view of a thing that does not exist, of which the tab's title tells, too. @param {string} title */
export function absence(title) {
  document.title = `${title} · Voyagent`;
  return header(title);
}

/** What stands in a view that the role may not open: who may. @param {"administer" | "usage" | "write"} act @returns {HTMLElement} */
export function forbidden(act) {
  return empty({ title: t("forbidden.title"), text: t(`forbidden.${act}`) });
}

/** What went wrong, with a button to try again where that may help; a network that is back tries by itself. @param {unknown} error @param {() => void} retry */
export function failure(error, retry) {
  const passing = /** @type {{ passing?: boolean }} */ (error).passing ?? true;
  const shown = h("div", { class: "failure", role: "alert" }, h("p", null, sentence(error)), passing && button(t("ui.retry"), retry));
  if (passing) shown.addEventListener(ONLINE, retry);
  return shown;
}

const ONLINE = "vy-online";
for (const type of ["online", "vy-reachable"]) addEventListener(type, () => {
  for (const shown of document.querySelectorAll(".failure")) shown.dispatchEvent(new Event(ONLINE));
});

/** @param {string} [label] */
export function waiting(label = t("ui.loading")) {
  return h("p", { class: "waiting", role: "status" }, h("span", { class: "dots", "aria-hidden": "true" }), label);
}

/** The newest read for each element that is filled: an older one that answers later is ignored. @type {WeakMap<Element, object>} */
const newest = new WeakMap();

/**
 * Fills `target` with what `read` brings; says that it waits after a moment, and offers to try again when it fails.
 * @template T @param {Element} target @param {() => Promise<T>} read @param {(found: T) => Child} show @param {AbortSignal} [signal]
 * @param {string} [absent] the heading of a view whose own comes with what is read, if there is no such thing
 */
export async function load(target, read, show, signal, absent) {
  const mine = {};
  newest.set(target, mine);
  const over = () => signal?.aborted || newest.get(target) !== mine;
  const timer = setTimeout(() => over() || replace(target, waiting()), target.childElementCount === 0 ? 150 : 800);
  target.setAttribute("aria-busy", "true");
  try {
    const found = await read();
    if (!over()) replace(target, show(found));
  } catch (error) {
    if (over()) return;
    replace(target, absent && !(/** @type {any} */ (error).passing ?? true) && absence(absent), failure(error, () => load(target, read, show, signal, absent)));
    report(error);
  } finally {
    clearTimeout(timer);
    if (newest.get(target) === mine) target.removeAttribute("aria-busy");
  }
}

/**
 * A list that grows by pages. `read` takes offset and limit; `show` makes an item; `empty` stands for none at all.
 * @template T @param {{ read: (offset: number, limit: number) => Promise<{ items: T[], total: number }>, show: (item: T) => Node, list?: HTMLElement, limit?: number, none: () => Child, signal?: AbortSignal }} props
 * @returns {HTMLElement}
 */
export function pager({ read, show, list = h("div", { class: "list" }), limit = 50, none, signal }) {
  const foot = h("div", { class: "pager" });
  const whole = h("div", { class: "paged" }, foot);
  let shown = 0;
  const next = () => load(foot, () => read(shown, limit), ({ items, total }) => {
    if (shown === 0) whole.prepend(items.length > 0 ? list : h("div", null, none()));
    const inside = list.querySelector("tbody") ?? list;
    append(inside, items.map(show));
    shown += items.length;
    return shown < total && items.length > 0
      ? [h("p", { class: "count" }, t("ui.shown", { shown, total })), button(t("ui.more"), next)]
      : null;
  }, signal);
  next();
  return whole;
}

/**
 * A table that becomes a list of cards on a phone.
 * @template T @param {{ caption: string, columns: { label: string, show: (row: T) => Child, end?: boolean, head?: boolean }[], rows: T[], foot?: Child, class?: string }} props
 */
export function table({ caption, columns, rows, foot, class: more }) {
  return h("div", { class: "table-frame", tabindex: "0", role: "region", "aria-label": caption }, h("table", { class: ["table", more] }, h("caption", { class: "hidden-words" }, caption),
    h("thead", null, h("tr", null, columns.map(({ label, end }) => h("th", { scope: "col", class: end && "end" }, label)))),
    h("tbody", null, rows.map((row) => tableRow(columns, row))), foot && h("tfoot", null, foot)));
}

/** One row of such a table; a card leaves out what is only a dash. @template T @param {{ label: string, show: (row: T) => Child, end?: boolean, head?: boolean }[]} columns @param {T} row */
export function tableRow(columns, row) {
  return h("tr", null, columns.map(({ label, show, end, head }) => {
    const shown = show(row);
    return h(head ? "th" : "td", { scope: head ? "row" : null, class: end && "end", "data-label": label, "data-empty": shown === "–" }, h("div", { class: "cell" }, shown));
  }));
}

/** Links to the parts of a view. @param {string} name @param {[href: string, label: string][]} links @param {string} present the href of the part that is shown */
export function tabs(name, links, present) {
  const made = links.map(([href, label]) => anchor(href, { "aria-current": href === present ? "page" : null }, label));
  requestAnimationFrame(() => made.find((each) => each.ariaCurrent)?.scrollIntoView({ block: "nearest", inline: "center" }));
  return h("nav", { class: "tabs", "aria-label": name }, made);
}

/** A button that prints the view. @param {Props & { tone?: "primary" }} [props] */
export function printButton(props) {
  return button(t("ui.print"), () => print(), props);
}

/** A button that puts a text on the clipboard. @param {string} text @param {string} [label] @param {() => void} [copied] */
export function copyButton(text, label = t("ui.copy"), copied = () => {}) {
  return button(label, async () => {
    try {
      await navigator.clipboard.writeText(text);
      copied();
      toast(t("ui.copied"));
    } catch {
      toast(t("ui.not_copied"), "bad");
    }
  });
}

const toasts = h("div", { class: "toasts", role: "status", "aria-live": "polite" });

/** Says something for a few seconds, above an open dialog too; screen readers read it when they have time. @param {string} text @param {"good" | "bad"} [tone] */
export function toast(text, tone = "good") {
  const above = [...document.querySelectorAll("dialog[open]")].at(-1) ?? document.body;
  if (toasts.parentElement !== above) above.append(toasts);
  const shown = h("p", { class: ["toast", tone] }, text);
  toasts.append(shown);
  setTimeout(() => shown.remove(), 6_000);
}

/** Text for screen readers alone. @param {Child} text */
export function unseen(text) {
  return h("span", { class: "hidden-words" }, text);
}
