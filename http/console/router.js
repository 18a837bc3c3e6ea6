// @ts-check
// Which view is shown: the part of the address after `#`, so that the service serves one document.

import { h, replace } from "./dom.js";

/**
 * @typedef {{ name: string, id: string | null, parts: string[], query: URLSearchParams }} Route
 * @typedef {HTMLElement & { route: Route, routeChanged?: (route: Route) => void }} ViewElement
 * @typedef {{ tag: string, load: () => Promise<unknown>, open?: "guests" | "all", parts?: RegExp }} View
 */

const ID = "[\\w-]+";
const among = (/** @type {string[]} */ ...parts) => new RegExp(`^(${parts.join("|")})?$`);

/** Name in the address -> its element, and what may follow the name there, if anything. `open` views need no sign-in. @type {Record<string, View>} */
export const VIEWS = {
  "sign-in": { tag: "vy-sign-in", load: () => import("./views/sign-in.js"), open: "guests" },
  "sign-up": { tag: "vy-sign-up", load: () => import("./views/sign-up.js"), open: "guests" },
  "forgot-password": { tag: "vy-forgot-password", load: () => import("./views/forgot-password.js"), open: "all" },
  "reset-password": { tag: "vy-reset-password", load: () => import("./views/reset-password.js"), open: "all" },
  "verify-email": { tag: "vy-verify-email", load: () => import("./views/verify-email.js"), open: "all" },
  "accept-invite": { tag: "vy-accept-invite", load: () => import("./views/accept-invite.js"), open: "all" },
  conversations: { tag: "vy-conversations", load: () => import("./views/conversations.js"), parts: among(ID) },
  enquiries: { tag: "vy-enquiries", load: () => import("./views/enquiries.js"), parts: among(`${ID}(/edit)?`) },
  approvals: { tag: "vy-approvals", load: () => import("./views/approvals.js") },
  itinerary: { tag: "vy-itinerary", load: () => import("./views/itinerary.js"), parts: among(ID) },
  reports: { tag: "vy-reports", load: () => import("./views/reports.js"), parts: among("(receivables|payables)(/documents)?", "trial-balance", "tally", "usage") },
  audit: { tag: "vy-audit", load: () => import("./views/audit.js") },
  settings: { tag: "vy-settings", load: () => import("./views/settings.js"), parts: among("profile", "security", "api_keys", "agency", "tax_rates", "people") },
};

export const HOME = "conversations";
const PATIENCE_MS = 300;

/** What is not left unasked: where it is, how to ask, and the step that was taken back to ask about it. @type {{ place: number, ask: () => Promise<boolean>, step: number } | null} */
let held = null;
let seen = 0; // the place of the present address

/** The route of the address. @returns {Route} */
export function current() {
  const [path, query = ""] = location.hash.replace(/^#\/?/, "").split("?", 2);
  const parts = path.split("/").filter(Boolean).map(decoded);
  return { name: parts[0] ?? "", id: parts[1] ?? null, parts: parts.slice(1), query: new URLSearchParams(query) };
}

/** Whether there is such an address; without a name it is that of the start page. @param {Route} route */
export function exists({ name, parts }) {
  return name === "" || Object.hasOwn(VIEWS, name) && (VIEWS[name].parts ?? /^$/).test(parts.join("/"));
}

/** @param {string} part */
function decoded(part) {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}

/**
 * The address of a view: `link("reports", "receivables", { as_of: "2026-11-30" })`. Null and empty values are left out.
 * @param {...(string | null | Record<string, string | number | null | undefined>)} parts @returns {string}
 */
export function link(...parts) {
  const last = parts.at(-1);
  const query = new URLSearchParams();
  const names = parts.filter((part) => typeof part === "string");
  if (typeof last === "object" && last !== null)
    for (const [name, value] of Object.entries(last)) if (value !== null && value !== undefined && value !== "") query.set(name, String(value));
  return "#/" + names.map((part) => encodeURIComponent(String(part))).join("/") + (query.size > 0 ? `?${query}` : "");
}

/** Opens an address made by `link`; with `replace` the back button skips the present one. @param {string} href @param {{ replace?: boolean }} [how] */
export function go(href, { replace: replaced = false } = {}) {
  if (href === location.hash) return;
  if (!replaced) {
    location.hash = href;
    return;
  }
  history.replaceState(history.state, "", href);
  dispatchEvent(new HashChangeEvent("hashchange"));
}

/** Changes the address without showing anything new: for filters. Not if it leads elsewhere by now. @param {string} href */
export function note(href) {
  const [path, present] = [href, location.hash].map((each) => each.split("?", 1)[0]);
  if (path.startsWith(present)) history.replaceState(history.state, "", href);
}

/**
 * Asks before the present view is left, by whatever way, until `signal` is aborted. The browser asks in its own words before it unloads the page.
 * @param {() => Promise<boolean>} ask @param {AbortSignal} signal
 */
export function hold(ask, signal) {
  const mine = held = { place: place(), ask, step: 0 };
  signal.addEventListener("abort", () => { if (held === mine) held = null; });
  addEventListener("beforeunload", (event) => event.preventDefault(), { signal });
}

/** Whether the present view may be left, which may have to be asked. @returns {Promise<boolean>} */
export async function mayLeave() {
  return held === null || held.ask();
}

/** The place of the address in the tab's history, noted there: to know how far the back button went. @returns {number} */
function place() {
  const known = history.state?.place;
  seen = known ?? seen + 1;
  if (known === undefined) history.replaceState({ place: seen }, "");
  return seen;
}

/** Whether the view has to stay for now: a step away is taken back first, then asked about. */
function stays() {
  const step = place() - (held?.place ?? 0);
  if (held === null) return false;
  if (step !== 0) history.go(-step);
  else if (held.step !== 0) goOn(held.step);
  held.step = step;
  return true;
}

/** Goes where it was asked to go, if the view may be left. @param {number} step */
async function goOn(step) {
  if (!(await mayLeave())) return;
  held = null;
  history.go(step);
}

/**
 * Shows views in `outlet` as the address changes. `admit` may send a route elsewhere, `refused` has what stands for one that the role
 * may not open, or that does not exist; `shown` is told of each view;
 * `waiting` and `failed` stand for one whose script takes a while, or does not come.
 * @param {Element} outlet @param {{ admit: (route: Route) => string | null, refused: (route: Route) => Node | null, shown: (route: Route) => void, waiting: () => Node, failed: () => Node }} hooks
 */
export function start(outlet, { admit, refused, shown, waiting, failed }) {
  /** @type {ViewElement | null} */
  let element = null;
  let asked = 0;

  async function show() {
    const route = current();
    const elsewhere = admit(route);
    if (elsewhere !== null) return go(elsewhere, { replace: true });
    const view = VIEWS[route.name];
    const mine = ++asked;
    const refusal = refused(route);
    if (refusal !== null) {
      replace(outlet, refusal);
      return shown(route);
    }
    if (element?.localName === view.tag && element.isConnected && element.routeChanged) {
      element.route = route;
      element.routeChanged(route);
      return shown(route);
    }
    const patience = setTimeout(() => mine === asked && replace(outlet, waiting()), PATIENCE_MS);
    try {
      await view.load();
    } catch {
      if (mine === asked) replace(outlet, failed());
      return;
    } finally {
      clearTimeout(patience);
    }
    if (mine !== asked) return;
    element = /** @type {ViewElement} */ (document.createElement(view.tag));
    element.route = route;
    replace(outlet, element);
    shown(route);
  }

  addEventListener("hashchange", () => stays() || show());
  place();
  return show();
}

/** A link to a view. @param {string} href @param {import("./dom.js").Props | null} props @param {...import("./dom.js").Child} children */
export function anchor(href, props, ...children) {
  return h("a", { ...props, href }, ...children);
}
