// @ts-check
// Wall-clock times at airports, as fares give them: "2027-02-28T23:15+05:30[Asia/Kolkata]".

import { number } from "../../format.js";
import { t } from "../../texts.js";

const LOCAL = /^(\d{4}-\d{2}-\d{2})T(\d{2}:\d{2})(?::\d{2})?([+-]\d{2}:\d{2}|Z)?/;

/** @typedef {{ day: string, clock: string, at: number, offset: string }} Local */

/** @param {string} text @returns {Local | null} */
export function local(text) {
  const found = LOCAL.exec(text);
  if (found === null) return null;
  const [, day, clock, offset = "Z"] = found;
  return { day, clock, at: Date.parse(`${day}T${clock}:00${offset}`), offset };
}

/** How many days of the calendar lie between two wall clocks: `1` is the next day. @param {Local} from @param {Local} to */
export function daysBetween(from, to) {
  return Math.round((Date.parse(to.day) - Date.parse(from.day)) / 86_400_000);
}

/** "+1", "−1", or nothing on the same day. @param {Local} from @param {Local} to */
export function dayChange(from, to) {
  const days = daysBetween(from, to);
  return days === 0 ? "" : days > 0 ? `+${days}` : `−${-days}`;
}

/** Minutes in the air and between flights. @param {Local} from @param {Local} to */
export function minutesBetween(from, to) {
  return Math.round((to.at - from.at) / 60_000);
}

/** "2 h 05 min", or "40 min". @param {number} minutes */
export function flightTime(minutes) {
  if (minutes < 60) return t("fares.minutes", { minutes: number(minutes) });
  return t("fares.hours", { hours: number(Math.floor(minutes / 60)), minutes: String(minutes % 60).padStart(2, "0") });
}
