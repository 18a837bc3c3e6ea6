// @ts-check
// The tokens of the login session. The access token lives in memory, the refresh token in localStorage; of all tabs
// one refreshes, under a lock, and tells the others.

const STORED = "voyagent.refresh_token";
const OURS = "voyagent.";
const LASTING = new Set(["voyagent.locale"]);
const LOCK = "voyagent.refresh";
const EARLY_MS = 60_000;
const TOLD_MS = 1_000;
const GRACE_MS = 28_000; // for 30 s a token that was exchanged brings the same answer once more
const AGAIN_MS = 2_000;

/** @typedef {{ access_token: string, refresh_token: string, expires_in: number }} Pair */
/** @typedef {{ type: "tokens", access: string, until: number } | { type: "signed-out" } | { type: "signed-in" }} Told */

/** @type {{ access: string, until: number } | null} */
let held = null;
/** The refresh token whose exchange is being repeated. @type {string | null} */
let doubted = null;
const channel = new BroadcastChannel("voyagent.tokens");
/** Events: `tokens`, `signed-in` and `signed-out` of other tabs; `signed-out` also when the refresh token is refused here. */
export const tabs = new EventTarget();

channel.addEventListener("message", ({ data }) => {
  const told = /** @type {Told} */ (data);
  held = told.type === "tokens" ? { access: told.access, until: told.until } : null;
  tabs.dispatchEvent(new Event(told.type));
});
addEventListener("storage", ({ key, newValue }) => {
  if (key !== STORED && key !== null || newValue !== null) return;
  held = null;
  tabs.dispatchEvent(new Event("signed-out"));
});

/** Whether somebody has signed in, in this tab or another. */
export function present() {
  return localStorage.getItem(STORED) !== null;
}

/** The refresh token, to be revoked at sign-out. */
export function refreshToken() {
  return localStorage.getItem(STORED);
}

/** Keeps the tokens of a sign-in; the other tabs start again. @param {Pair} pair */
export function begin(pair) {
  keep(pair);
  channel.postMessage({ type: "signed-in" });
}

/** Keeps the tokens that take the place of the present ones, for all tabs. @param {Pair} pair */
export function replaced(pair) {
  keep(pair);
}

/** Forgets the tokens, in all tabs, and what this browser kept for the person: drafts. */
export function end() {
  held = null;
  for (const key of Object.keys(localStorage)) if (key.startsWith(OURS) && !LASTING.has(key)) localStorage.removeItem(key);
  channel.postMessage({ type: "signed-out" });
}

/** The access token if it is good for another minute. @returns {string | null} */
export function fresh() {
  return held !== null && Date.now() < held.until ? held.access : null;
}

/** Forgets an access token that was refused. @param {string} access */
export function refused(access) {
  if (held?.access === access) held = null;
}

/**
 * An access token: the one at hand, or a new one, which `exchange` gets for the refresh token. Null when nobody is signed in.
 * @param {(refreshToken: string) => Promise<Pair | null>} exchange null if the refresh token is refused @returns {Promise<string | null>}
 */
export async function access(exchange) {
  const seen = localStorage.getItem(STORED);
  return fresh() ?? (seen === null ? null : await locked(() => refreshed(seen, exchange)));
}

/** @param {string} seen @param {(refreshToken: string) => Promise<Pair | null>} exchange */
async function refreshed(seen, exchange) {
  if (localStorage.getItem(STORED) !== seen) await anotherTab();
  const token = localStorage.getItem(STORED);
  const now = fresh();
  if (now !== null || token === null) return now;
  const began = Date.now();
  const pair = await exchange(token).catch((error) => {
    insist(token, exchange, began + GRACE_MS);
    throw error;
  });
  if (localStorage.getItem(STORED) !== token) return fresh();
  if (pair !== null) keep(pair);
  else {
    end();
    tabs.dispatchEvent(new Event("signed-out"));
  }
  return fresh();
}

/**
 * Repeats an exchange that brought no answer, by itself: the service may have taken the token, and would take one that
 * comes back later for stolen. @param {string} token @param {(refreshToken: string) => Promise<Pair | null>} exchange @param {number} until
 */
function insist(token, exchange, until) {
  if (doubted === token) return;
  doubted = token;
  const again = async () => {
    await access(exchange).catch(() => null);
    if (fresh() === null && localStorage.getItem(STORED) === token && Date.now() < until) return setTimeout(again, AGAIN_MS);
    doubted = null;
    if (fresh() !== null) dispatchEvent(new Event("vy-reachable"));
  };
  setTimeout(again, AGAIN_MS);
}

/** @param {Pair} pair */
function keep(pair) {
  localStorage.setItem(STORED, pair.refresh_token);
  held = { access: pair.access_token, until: Date.now() + pair.expires_in * 1000 - EARLY_MS };
  channel.postMessage({ type: "tokens", ...held });
}

/** Waits for what the tab that refreshed has to tell; its message may still be on the way. */
async function anotherTab() {
  if (fresh() !== null) return;
  await new Promise((resolve) => {
    tabs.addEventListener("tokens", resolve, { once: true });
    setTimeout(resolve, TOLD_MS);
  });
}

/**
 * Web Locks need a secure context; without them the service's grace for a token sent twice has to do.
 * @template T @param {() => Promise<T>} act @returns {Promise<T>}
 */
async function locked(act) {
  return navigator.locks ? await navigator.locks.request(LOCK, act) : act();
}
