// @ts-check
// Money, dates and numbers, in the agency's language, zone and currency.

import { setRegion, tag } from "./texts.js";

/** Before an agency is known: the place of the reader. */
const NOWHERE = { timezone: new Intl.DateTimeFormat().resolvedOptions().timeZone, default_currency: "INR" };
const DAY_SECONDS = 86_400;

let zone = NOWHERE.timezone;
let currency = NOWHERE.default_currency;

/** Where times and amounts are shown from now on; without an agency, where the reader is. @param {{ timezone: string, default_currency: string }} [agency] */
export function setPlace(agency = NOWHERE) {
  zone = agency.timezone;
  currency = agency.default_currency;
  setRegion(currency === "INR");
}

/** The agency's time zone and default currency. */
export function place() {
  return { zone, currency };
}

/** @type {Map<string, any>} */
const kept = new Map();

/** @template T @param {new (locale: string, options: any) => T} Format @param {object} options @returns {T} */
function format(Format, options) {
  const key = `${Format.name} ${tag()} ${JSON.stringify(options)}`;
  if (!kept.has(key)) kept.set(key, new Format(tag(), options));
  return kept.get(key);
}

/**
 * An amount as the API sends it, a decimal string, with its currency. Strings are exact: nothing passes through floats.
 * @param {string | number | null} amount @param {string | null} [code] @returns {string}
 */
export function money(amount, code) {
  if (amount === null || amount === "") return "–";
  const exact = /** @type {any} */ (amount);
  return format(Intl.NumberFormat, { style: "currency", currency: code ?? currency, currencyDisplay: "code" }).format(exact).replace(/\u00a0/g, " ");
}

/** An amount without its currency, for columns that name it. @param {string | number | null} amount @param {string | null} [code] */
export function amount(amount, code) {
  if (amount === null || amount === "") return "–";
  const places = minorDigits(code);
  return format(Intl.NumberFormat, { minimumFractionDigits: places, maximumFractionDigits: places }).format(/** @type {any} */ (amount));
}

/** How many decimals the currency's minor unit has. @param {string | null} [code] @returns {number} */
export function minorDigits(code) {
  return format(Intl.NumberFormat, { style: "currency", currency: code ?? currency }).resolvedOptions().maximumFractionDigits ?? 2;
}

/** @param {number | string | null} value */
export function number(value) {
  return value === null ? "–" : format(Intl.NumberFormat, {}).format(/** @type {any} */ (value));
}

/** An instant as a day and time of the agency. @param {string | null} instant */
export function dateTime(instant) {
  return instant === null ? "–" : format(Intl.DateTimeFormat, { dateStyle: "medium", timeStyle: "short", timeZone: zone }).format(new Date(instant));
}

/** An instant as a time of the agency's day. @param {string | null} instant */
export function time(instant) {
  return instant === null ? "–" : format(Intl.DateTimeFormat, { timeStyle: "short", timeZone: zone }).format(new Date(instant));
}

/** An instant as a time, with its day unless that is the agency's today. @param {string} instant */
export function moment(instant) {
  return dayOf(new Date(instant)) === today() ? time(instant) : dateTime(instant);
}

/** The agency's day of an instant, `YYYY-MM-DD`. @param {Date} instant */
function dayOf(instant) {
  return new Intl.DateTimeFormat("en-CA", { timeZone: zone }).format(instant);
}

/** A day, `YYYY-MM-DD`, which has no zone; or the agency's day of an instant. @param {string | null} day */
export function date(day) {
  if (day === null) return "–";
  const whole = day.length === 10;
  return format(Intl.DateTimeFormat, { dateStyle: "medium", timeZone: whole ? "UTC" : zone }).format(new Date(day));
}

/** A day without its year, beside others of the same season. @param {string} day */
export function shortDate(day) {
  return format(Intl.DateTimeFormat, { day: "numeric", month: "short", timeZone: day.length === 10 ? "UTC" : zone }).format(new Date(day));
}

/** A day with its weekday. @param {string} day */
export function longDate(day) {
  return format(Intl.DateTimeFormat, { weekday: "long", day: "numeric", month: "long", year: "numeric", timeZone: day.length === 10 ? "UTC" : zone }).format(new Date(day));
}

/** Today in the agency's zone, `YYYY-MM-DD`; with `days`, so many days later. @param {number} [days] */
export function today(days = 0) {
  const day = new Date(`${dayOf(new Date())}T00:00:00Z`);
  day.setUTCDate(day.getUTCDate() + days);
  return day.toISOString().slice(0, 10);
}

const STEPS = /** @type {[Intl.RelativeTimeFormatUnit, number][]} */ ([["hour", 3_600], ["minute", 60]]);

/** How long ago or ahead an instant is: "5 minutes ago", or "now" within a minute; from a day on, by the days of the agency's calendar. @param {string} instant @param {number} [now] */
export function relative(instant, now = Date.now()) {
  const seconds = (Date.parse(instant) - now) / 1000;
  if (Math.abs(seconds) >= DAY_SECONDS) return format(Intl.RelativeTimeFormat, { numeric: "auto" }).format(daysBetween(new Date(now), new Date(instant)), "day");
  const [unit, size] = STEPS.find(([, each]) => Math.abs(seconds) >= each) ?? ["second", 60];
  return format(Intl.RelativeTimeFormat, { numeric: "auto" }).format(Math.trunc(seconds / size), unit);
}

/** How many days of the agency's calendar lie between two instants. @param {Date} from @param {Date} to */
function daysBetween(from, to) {
  return Math.round((Date.parse(dayOf(to)) - Date.parse(dayOf(from))) / (DAY_SECONDS * 1000));
}

/** A duration as `1:05:09` or `5:09`. @param {number} seconds */
export function countdown(seconds) {
  const left = Math.max(0, Math.floor(seconds));
  const parts = [Math.floor(left / 3600), Math.floor(left / 60) % 60, left % 60];
  const [hours, minutes, rest] = parts;
  const padded = (/** @type {number} */ value) => String(value).padStart(2, "0");
  return hours > 0 ? `${hours}:${padded(minutes)}:${padded(rest)}` : `${minutes}:${padded(rest)}`;
}
