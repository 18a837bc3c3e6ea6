// @ts-check
// A hold, a booking, a ticket, a cancellation: what it is now, and what names it elsewhere.

import { h } from "../../dom.js";
import { dateTime, relative } from "../../format.js";
import { nameOf, t } from "../../texts.js";
import { badge } from "../../ui.js";
import { pair } from "./fields.js";
import { shownPrice } from "./price.js";

/** @type {Record<string, "good" | "warn" | "bad" | "info" | "plain">} */
const TONES = { confirmed: "good", ticketed: "good", cancelled: "plain", failed: "bad" };

/** The status of a booking: what is neither done nor over is still to be watched. @param {string} status */
export function bookingBadge(status) {
  return badge(nameOf("bookings", status), TONES[status] ?? "warn");
}

/** @param {any} output */
export function booking(output) {
  const { locator, supplier_ref: reference, status, price, hold_expires_at: until, supplier, refund, tickets = [], warnings = [] } = output;
  return [
    h("dl", { class: "fields wide" },
      pair(t("booking.locator"), locator && h("strong", { class: "locator" }, locator)),
      pair(t("booking.status"), status && bookingBadge(status)),
      pair(t("fares.price"), price && shownPrice(price)),
      pair(t("booking.until"), until && [dateTime(until), " ", h("small", { class: "quiet" }, relative(until))]),
      pair(t("booking.refund"), "refund" in output && (refund === null ? t("booking.refund_not_stated") : shownPrice(refund))),
      pair(t("booking.supplier"), supplier),
      pair(t("booking.reference"), reference !== locator && reference),
      pair(t("booking.tickets"), tickets.map((/** @type {any} */ each) => each.number).join(", "))),
    warnings.map((/** @type {string} */ warning) => h("p", { class: "warning" }, warning)),
  ];
}
