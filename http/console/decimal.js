// @ts-check
// Sums and products of decimal strings, as the API sends amounts: exact, nothing passes through floats.

/** @param {string} text */
function read(text) {
  const [whole, rest = ""] = text.split(".");
  return { units: BigInt(whole + rest), places: rest.length };
}

/** @param {bigint} units @param {number} places */
function written(units, places) {
  const digits = String(units < 0n ? -units : units).padStart(places + 1, "0");
  return `${units < 0n ? "-" : ""}${digits.slice(0, digits.length - places)}${places > 0 ? `.${digits.slice(-places)}` : ""}`;
}

/** @param {string} one @param {string} other */
export function plus(one, other) {
  const [left, right] = [read(one), read(other)];
  const places = Math.max(left.places, right.places);
  const scaled = (/** @type {{ units: bigint, places: number }} */ each) => each.units * 10n ** BigInt(places - each.places);
  return written(scaled(left) + scaled(right), places);
}

/** @param {string} one @param {string} other */
export function minus(one, other) {
  return plus(one, other.startsWith("-") ? other.slice(1) : `-${other}`);
}

/** @param {string} one @param {string} other */
export function times(one, other) {
  const [left, right] = [read(one), read(other)];
  return written(left.units * right.units, left.places + right.places);
}

/** To at most so many places, halves away from zero, as the service rounds. @param {string} text @param {number} places */
export function rounded(text, places) {
  const { units, places: given } = read(text);
  if (given <= places) return text;
  const step = 10n ** BigInt(given - places);
  const half = units < 0n ? -step / 2n : step / 2n;
  return written((units + half) / step, places);
}
