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

  /** Calls `act` every `seconds` while the page is visible and the view on it, once the call before has ended. @param {number} seconds @param {() => unknown} act */
  every(seconds, act) {
    let running = false;
    const timer = setInterval(async () => {
      if (running || document.visibilityState !== "visible") return;
      running = true;
      try {
        await act();
      } finally {
        running = false;
      }
    }, seconds * 1000);
    this.signal.addEventListener("abort", () => clearInterval(timer));
  }
}

/** Registers a view once. @param {string} tag @param {CustomElementConstructor} view */
export function define(tag, view) {
  if (!customElements.get(tag)) customElements.define(tag, view);
}
