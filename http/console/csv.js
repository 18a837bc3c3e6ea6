// @ts-check
// Tables as CSV (RFC 4180) that a spreadsheet opens without running any of it, by the rules of the service's own downloads.

const FORMULA = /^[=+\-@\t\r\n\uff1d\uff0b\uff0d\uff20]/;
const NUMBER = /^[+-]?[0-9]+(?:\.[0-9]+)?$/;
const PHONE = /^\+[0-9]{7,15}$/;
const QUOTED = /[",\r\n]/;
const BYTE_ORDER_MARK = "\ufeff";

/** @typedef {string | number | null} Cell */

/** The text of a cell: with a leading `'` where a spreadsheet would read a formula. @param {Cell} value */
export function cell(value) {
  const text = value === null ? "" : String(value);
  const isNumber = NUMBER.test(text) && !PHONE.test(text);
  const safe = FORMULA.test(text) && !isNumber ? `'${text}` : text;
  return QUOTED.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
}

/** @param {Cell[][]} rows */
export function lines(rows) {
  return rows.map((row) => `${row.map(cell).join(",")}\r\n`).join("");
}

/** Saves rows as a file; the mark at its start tells a spreadsheet the encoding. @param {string} name @param {Cell[][]} rows */
export function save(name, rows) {
  const url = URL.createObjectURL(new Blob([BYTE_ORDER_MARK, lines(rows)], { type: "text/csv;charset=utf-8" }));
  Object.assign(document.createElement("a"), { href: url, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(url), 60_000);
}
