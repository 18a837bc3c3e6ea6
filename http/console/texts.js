// @ts-check
// The words of the page, in the language of the agency.

import english from "./texts/en.js";

const REMEMBERED = "voyagent.locale";
const MOST_SECONDS = 120; // beyond it a wait is told in minutes
/** @type {Record<string, () => Promise<{ default: any }>>} */
const OTHERS = { hi: () => import("./texts/hi.js") };
export const LOCALES = ["en", ...Object.keys(OTHERS)];

let table = /** @type {any} */ (english);
let language = "en";
let isIndian = true;

/** The language of the page. */
export function locale() {
  return language;
}

/** The language with the region whose numbers and dates are written: thousands apart as 1,00,000 or as 100,000. */
export function tag() {
  return language === "en" && !isIndian ? "en-GB" : `${language}-IN`;
}

/** Whether English numbers and dates are written as in India. @param {boolean} indian */
export function setRegion(indian) {
  isIndian = indian;
}

/** Changes the language of what is shown from now on. @param {string} asked */
export async function setLocale(asked) {
  const name = LOCALES.includes(asked) ? asked : "en";
  if (name !== language) table = name === "en" ? english : (await OTHERS[name]()).default;
  language = name;
  document.documentElement.lang = name;
  localStorage.setItem(REMEMBERED, name);
}

/** The language of the last sign-in, else the browser's. */
export function likelyLocale() {
  return localStorage.getItem(REMEMBERED) ?? navigator.languages.map((each) => each.slice(0, 2)).find((each) => LOCALES.includes(each)) ?? "en";
}

/**
 * The text of a key such as `enquiries.title`, with `{name}` filled in. A text with forms (`one`, `other`) is chosen by `n`.
 * @param {string} key @param {Record<string, string | number>} [values] @returns {string}
 */
export function t(key, values = {}) {
  const found = textOf(key);
  if (found === undefined) return key;
  const form = typeof found === "string" ? found : found[new Intl.PluralRules(language).select(Number(values.n))] ?? found.other;
  return String(form).replace(/\{(\w+)\}/g, (whole, name) => (name in values ? shown(values[name]) : whole));
}

/** The text or its forms; a name in the table may have dots of its own. @param {string} key */
function textOf(key) {
  let section = table;
  for (let rest = key; section !== undefined; rest = rest.slice(rest.indexOf(".") + 1)) {
    if (section[rest] !== undefined || !rest.includes(".")) return section[rest];
    section = section[rest.slice(0, rest.indexOf("."))];
  }
  return undefined;
}

/** Whether there is a text. @param {string} key */
export function has(key) {
  return textOf(key) !== undefined;
}

/** The name of a code that the API sends, such as a status or a role; the code itself if it has none. @param {string} section @param {string} code */
export function nameOf(section, code) {
  return has(`${section}.${code}`) ? t(`${section}.${code}`) : code.replaceAll("_", " ");
}

/** What every agency is given under an English name, in the language of the page, unless the agency calls it otherwise. @param {string} section @param {string} code @param {string} stored its name */
export function translated(section, code, stored) {
  return /** @type {any} */ (english)[section][code] === stored ? t(`${section}.${code}`) : stored;
}

/** @param {string | number} value */
function shown(value) {
  return typeof value === "number" ? new Intl.NumberFormat(tag()).format(value) : value;
}

/** What went wrong and what to do, in a sentence. @param {unknown} error @returns {string} */
export function sentence(error) {
  const problem = /** @type {{ code?: string, status?: number, retryAfter?: number, requestId?: string | null, fields?: Record<string, unknown> }} */ (error);
  const code = problem.code ?? "unexpected";
  if (problem.fields?.token !== undefined) return t("problems.link_incomplete"); // no form asks for it
  if (code === "too_many_attempts" && (problem.retryAfter ?? 0) > MOST_SECONDS) return t("problems.too_many_attempts_minutes", { n: Math.ceil((problem.retryAfter ?? 0) / 60) });
  if (has(`problems.${code}`)) return t(`problems.${code}`, { n: problem.retryAfter || 1 });
  if ((problem.status ?? 0) >= 500) return t("problems.internal_error", { id: problem.requestId ?? "–" });
  return t("problems.unexpected", { code });
}

/** What is wrong with a field. @param {{ code: string, ctx: Record<string, any> }} refused @returns {string} */
export function fieldSentence({ code, ctx }) {
  return has(`fields.${code}`) ? t(`fields.${code}`, { n: ctx.min_length ?? ctx.max_length ?? 0, ...ctx }) : has(`problems.${code}`) ? t(`problems.${code}`) : t("fields.wrong");
}
