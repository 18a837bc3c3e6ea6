// @ts-check
// Makes elements. Text only ever becomes text nodes, so nothing a person or a model wrote can become markup.

/** @typedef {Node | string | number | null | undefined | false | Children} Child */
/** @typedef {{ readonly length: number, readonly [index: number]: Child }} Children */
/** @typedef {Record<string, any>} Props */

const SVG = "http://www.w3.org/2000/svg";
const SAFE_LINK = /^(#|\/(?!\/)|\.{1,2}\/|https?:\/\/|mailto:|tel:|blob:)/i;
const AS_PROPERTY = new Set(["value", "checked", "disabled", "selected", "hidden", "indeterminate", "open", "readOnly", "required", "multiple", "textContent"]);
const FORBIDDEN = new Set(["style", "innerHTML", "outerHTML", "srcdoc"]);

/**
 * An element. `props`: attributes by name; `class` may be a list with falsy members; `on` is a table of listeners;
 * `data` a table of data attributes; `ref` is called with the element; `focus` marks what gets the focus when a view or dialog opens. False, null and undefined leave an attribute out.
 * @template {keyof HTMLElementTagNameMap} T
 * @param {T} tag @param {Props | null} [props] @param {...Child} children @returns {HTMLElementTagNameMap[T]}
 */
export function h(tag, props, ...children) {
  return fill(document.createElement(tag), props, children);
}

/**
 * An element of an inline drawing, with the same props.
 * @template {keyof SVGElementTagNameMap} T
 * @param {T} tag @param {Props | null} [props] @param {...Child} children @returns {SVGElementTagNameMap[T]}
 */
export function svg(tag, props, ...children) {
  return fill(document.createElementNS(SVG, tag), props, children);
}

/** Replaces what is inside `parent`; a focus within stays on what is alike, or goes to the view's heading. @param {Element} parent @param {...Child} children */
export function replace(parent, ...children) {
  const { activeElement: held } = document;
  const kept = held !== null && held !== parent && parent.contains(held) ? /** @type {HTMLElement} */ (held) : null;
  const place = kept === null ? -1 : alike(parent, kept).indexOf(kept);
  parent.replaceChildren(...nodes(children));
  if (kept === null || document.activeElement === kept) return;
  const others = kept.isConnected ? [kept] : alike(parent, kept);
  const next = others[place] ?? others[0] ?? /** @type {HTMLElement | null} */ (document.querySelector("main h1"));
  next?.focus({ preventScroll: true });
}

/** Elements of a kind and name. @param {Element} parent @param {HTMLElement} like @returns {HTMLElement[]} */
function alike(parent, like) {
  const name = (/** @type {HTMLElement} */ each) => each.getAttribute("aria-label") ?? (each.textContent?.trim() || each.getAttribute("name"));
  return [.../** @type {NodeListOf<HTMLElement>} */ (parent.querySelectorAll(like.localName))].filter((each) => name(each) === name(like));
}

/** Adds at the end of `parent`. @param {Element} parent @param {...Child} children */
export function append(parent, ...children) {
  parent.append(...nodes(children));
}

/** @param {Child[]} children @returns {(Node | string)[]} */
function nodes(children) {
  const found = [];
  for (const child of children) {
    if (Array.isArray(child)) found.push(...nodes(child));
    else if (child instanceof Node) found.push(child);
    else if (child !== null && child !== undefined && child !== false) found.push(String(child));
  }
  return found;
}

/** @template {HTMLElement | SVGElement} E @param {E} element @param {Props | null | undefined} props @param {Child[]} children @returns {E} */
function fill(element, props, children) {
  element.append(...nodes(children));
  for (const [name, value] of Object.entries(props ?? {})) set(element, name, value);
  return element;
}

/** @param {HTMLElement | SVGElement} element @param {string} name @param {any} value */
function set(element, name, value) {
  if (FORBIDDEN.has(name) || name.startsWith("on") && name !== "on") throw new Error(`${name} is not set here`);
  if (name === "on") for (const [type, listener] of Object.entries(value)) listener && element.addEventListener(type, listener);
  else if (name === "data") Object.assign(element.dataset, value);
  else if (name === "ref") value(element);
  else if (name === "focus") element.toggleAttribute("data-focus", value);
  else if (value === null || value === undefined) return;
  else if (AS_PROPERTY.has(name) && element instanceof HTMLElement) Reflect.set(element, name, value);
  else if (value !== false) element.setAttribute(name, text(name, value));
}

/** @param {string} name @param {any} value */
function text(name, value) {
  if (name === "class" && Array.isArray(value)) return value.filter(Boolean).join(" ");
  if ((name === "href" || name === "src") && !SAFE_LINK.test(String(value))) throw new Error("no such link is made");
  return value === true && !name.startsWith("aria-") ? "" : String(value);
}
