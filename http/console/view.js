// @ts-check
// What all views share: their route, and the end of what they started.

/** @typedef {import("./router.js").Route} Route */

/** The base of every view. Override `show`; override `routeChanged` to keep the element while its address changes. */
export class View extends HTMLElement {
  /** @type {Route} */
  route = { name: "", id: null, parts: [], query: new URLSearchParams() };

  #end = new AbortController();

  /** Aborted when the view leaves the page: give it to requests and listeners. */
  get signal() {
    return this.#end.signal;
  }

  connectedCallback() {
    if (this.#end.signal.aborted) this.#end = new AbortController();
    this.show();
  }

  disconnectedCallback() {
    this.#end.abort();
  }

  /** Fills the element. */
  show() {}

  /** Listens until the view leaves the page. @param {EventTarget} target @param {string} type @param {(event: any) => void} listener */
  listen(target, type, listener) {
    target.addEventListener(type, listener, { signal: this.signal });
  }

  /** Calls `act` every `seconds` while the page is visible and the view on it. @param {number} seconds @param {() => void} act */
  every(seconds, act) {
    const timer = setInterval(() => document.visibilityState === "visible" && act(), seconds * 1000);
    this.signal.addEventListener("abort", () => clearInterval(timer));
  }
}

/** Registers a view once. @param {string} tag @param {CustomElementConstructor} view */
export function define(tag, view) {
  if (!customElements.get(tag)) customElements.define(tag, view);
}
