// @ts-check
// Requests to the API: bearer, one more try with fresh tokens, idempotency keys, and errors as one class.

import * as tokens from "./tokens.js";

export const ROOT = new URL("../../", import.meta.url);
const PATIENCE_MS = 20_000;
const REFRESH_MS = 8_000; // leaves time to ask again while the service gives the same answer
const PAUSES_MS = [400, 1_500];
const AGAIN = new Set([502, 503, 504]);
const RUNNING = "idempotency_key_in_flight"; // the first attempt with a key has not ended

/** @typedef {Record<string, string | number | boolean | null | undefined>} Query */
/** @typedef {{ signal?: AbortSignal, idempotent?: boolean }} Options */

/**
 * A request that did not succeed. `status` is 0 without an answer; `code` is the service's, or `network` or `timeout`;
 * `fields` has a code and its numbers for each field that was refused.
 */
export class Problem extends Error {
  /** @param {number} status @param {string} code @param {{ fields?: Record<string, { code: string, ctx: Record<string, any> }>, retryAfter?: number, requestId?: string | null }} [more] */
  constructor(status, code, { fields = {}, retryAfter = 0, requestId = null } = {}) {
    super(code);
    this.name = "Problem";
    this.status = status;
    this.code = code;
    this.fields = fields;
    this.retryAfter = retryAfter;
    this.requestId = requestId;
  }

  /** Whether the same request may succeed later. */
  get passing() {
    return this.code === RUNNING || this.status === 0 || this.status === 408 || this.status === 429 || this.status >= 500;
  }

  /** @param {Response} response */
  static async of(response) {
    const body = await response.json().catch(() => ({}));
    const more = {
      retryAfter: Number(response.headers.get("Retry-After") ?? 0),
      requestId: response.headers.get("X-Request-ID"),
    };
    const detail = body.detail;
    if (Array.isArray(detail)) return new Problem(response.status, "invalid", { ...more, fields: fieldsOf(detail) });
    if (typeof detail === "object" && detail !== null) return new Problem(response.status, detail.error, more);
    return new Problem(response.status, String(detail ?? `status_${response.status}`), more);
  }
}

/** @param {{ type: string, loc: (string | number)[], ctx?: Record<string, any> }[]} items */
function fieldsOf(items) {
  /** @type {Record<string, { code: string, ctx: Record<string, any> }>} */
  const fields = {};
  for (const { type, loc, ctx = {} } of items) fields[loc.slice(1).join(".")] ??= { code: ctx.code ?? type, ctx };
  return fields;
}

/** Keys of requests whose outcome is not known, so that a repetition is the same request. @type {Map<string, string>} */
const keys = new Map();

export const api = {
  /** @param {string} path @param {Query} [query] @param {Options} [options] @returns {Promise<any>} */
  get: (path, query, options) => request("GET", address(path, query), undefined, options),
  /** @param {string} path @param {unknown} [body] @param {Options} [options] @returns {Promise<any>} */
  post: (path, body, options) => request("POST", address(path), body, options),
  /** @param {string} path @param {unknown} body @param {Options} [options] @returns {Promise<any>} */
  patch: (path, body, options) => request("PATCH", address(path), body, options),
  /** @param {string} path @param {Options} [options] @returns {Promise<any>} */
  del: (path, options) => request("DELETE", address(path), undefined, options),
  download,
  send,
};

/** The URL of a path with its query; null, undefined and empty values are left out. @param {string} path @param {Query} [query] */
export function address(path, query = {}) {
  const url = new URL(path.replace(/^\//, ""), ROOT);
  for (const [name, value] of Object.entries(query)) if (value !== null && value !== undefined && value !== "") url.searchParams.set(name, String(value));
  return url;
}

/** @param {string} method @param {URL} url @param {unknown} body @param {Options} [options] */
async function request(method, url, body, { signal, idempotent = false } = {}) {
  const text = body === undefined ? undefined : JSON.stringify(body);
  const name = `${method} ${url.pathname} ${text ?? ""}`;
  const headers = new Headers(text === undefined ? {} : { "Content-Type": "application/json" });
  if (idempotent) headers.set("Idempotency-Key", keyFor(name));
  const repeatable = idempotent || method === "GET";
  try {
    const response = await insistent(url, { method, headers, body: text, signal }, repeatable);
    keys.delete(name);
    return response.status === 204 ? null : await response.json();
  } catch (error) {
    if (error instanceof Problem && !error.passing) keys.delete(name);
    throw error;
  }
}

/** @param {string} name */
function keyFor(name) {
  const key = keys.get(name) ?? randomKey();
  keys.set(name, key);
  return key;
}

/** A random id; `crypto.randomUUID` needs a secure context. */
export function randomKey() {
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** @param {URL} url @param {RequestInit} init @param {boolean} repeatable */
async function insistent(url, init, repeatable) {
  for (const pause of repeatable ? PAUSES_MS : []) {
    try {
      return await send(url, init);
    } catch (error) {
      if (!(error instanceof Problem) || !(error.code === "network" || error.code === RUNNING || AGAIN.has(error.status))) throw error;
      await slept(pause, init.signal);
    }
  }
  return send(url, init);
}

/** @param {number} ms @param {AbortSignal | null | undefined} signal */
function slept(ms, signal) {
  return new Promise((resolve, reject) => {
    const stopped = () => {
      clearTimeout(timer);
      reject(signal?.reason);
    };
    const timer = setTimeout(() => {
      signal?.removeEventListener("abort", stopped);
      resolve(null);
    }, ms);
    signal?.addEventListener("abort", stopped, { once: true });
  });
}

/**
 * One authenticated request, repeated once with a fresh token after a 401. Its response is ok, else a `Problem` is thrown.
 * For streams that are read as they come pass `patient`: only the head has to arrive in time.
 * @param {URL} url @param {RequestInit} init @param {{ patient?: boolean }} [how] @returns {Promise<Response>}
 */
export async function send(url, init, how = {}) {
  const access = await tokens.access(exchange);
  const response = await fetched(url, init, access, how);
  if (response.status !== 401 || access === null) return checked(response);
  tokens.refused(access);
  return checked(await fetched(url, init, await tokens.access(exchange), how));
}

/** A request without a bearer. @param {string} path @param {unknown} body @param {{ within?: number }} [how] @returns {Promise<any>} */
export async function publicPost(path, body, how) {
  const init = { method: "POST", headers: new Headers({ "Content-Type": "application/json" }), body: JSON.stringify(body) };
  return (await checked(await fetched(address(path), init, null, how))).json();
}

/** @param {string} path @param {Query} query @returns {Promise<any>} */
export async function publicGet(path, query) {
  return (await checked(await fetched(address(path, query), {}, null))).json();
}

/** @param {Response} response */
async function checked(response) {
  if (!response.ok) throw await Problem.of(response);
  return response;
}

/** @param {URL} url @param {RequestInit} init @param {string | null} access @param {{ patient?: boolean, within?: number }} [how] `within`: milliseconds to answer in */
async function fetched(url, init, access, { patient = false, within = PATIENCE_MS } = {}) {
  const headers = new Headers(init.headers);
  if (access !== null) headers.set("Authorization", `Bearer ${access}`);
  const late = new AbortController();
  const timer = setTimeout(() => late.abort(), within);
  const signals = init.signal ? [init.signal, late.signal] : [late.signal];
  try {
    const response = await fetch(url, { ...init, headers, credentials: "omit", cache: "no-store", signal: AbortSignal.any(signals) });
    return patient ? response : new Response(bodyless(response) ? null : await response.arrayBuffer(), response);
  } catch (error) {
    if (init.signal?.aborted) throw error;
    throw new Problem(0, late.signal.aborted ? "timeout" : "network");
  } finally {
    clearTimeout(timer);
  }
}

/** @param {Response} response */
function bodyless(response) {
  return response.status === 204 || response.status === 205 || response.status === 304;
}

/** New tokens for a refresh token; null if the service refuses it. @param {string} refreshToken */
async function exchange(refreshToken) {
  try {
    return await publicPost("/auth/refresh", { refresh_token: refreshToken }, { within: REFRESH_MS });
  } catch (error) {
    if (error instanceof Problem && error.status === 401) return null;
    throw error;
  }
}

/** Saves what a path answers as a file; its headers, and the file. @param {string} path @param {Query} query @param {string} name */
async function download(path, query, name) {
  const response = await send(address(path, query), {}, { patient: true });
  const file = await response.blob();
  const url = URL.createObjectURL(file);
  const saving = Object.assign(document.createElement("a"), { href: url, download: name });
  saving.click();
  setTimeout(() => URL.revokeObjectURL(url), 60_000);
  return { headers: response.headers, file };
}
