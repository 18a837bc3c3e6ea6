// @ts-check

import { money } from "../../format.js";

/** A price as tools give it: "INR 45200.00". @param {string | null | undefined} price */
export function shownPrice(price) {
  const found = /^([A-Z]{3}) (-?\d+(?:\.\d+)?)$/.exec(price ?? "");
  return found === null ? price ?? "–" : money(found[2], found[1]);
}
