// @ts-check
// The hotels of a search, a row for each rate.

import { h } from "../../dom.js";
import { t, nameOf } from "../../texts.js";
import { button, table } from "../../ui.js";
import { shownPrice } from "./price.js";

/** @typedef {{ rate_key: string, room: string, board_basis: string, price: string, is_refundable: boolean | null, rooms_left: number | null }} Rate */
/** @typedef {{ property_id: string, name: string, city: string, star_rating: number | null, from_price: string | null, rates?: Rate[] }} Hotel */

/** @param {any} output @param {any} _input @param {import("./tool.js").Context} context */
export function hotels(output, _input, { choose }) {
  /** @type {Hotel[]} */
  const found = output.results ?? [];
  if (found.length === 0) return h("p", { class: "quiet" }, t("hotels.none"));
  const rows = found.flatMap((hotel) => (hotel.rates?.length ? hotel.rates : [null]).map((rate, place) => ({ hotel, rate, first: place === 0 })));
  /** @typedef {typeof rows[number]} Row */
  return table({
    caption: t("hotels.caption", { n: output.count ?? found.length }), rows, class: "dense",
    columns: [
      { label: t("hotels.hotel"), head: true, show: ({ hotel, first }) => h("span", { class: first ? null : "repeated" }, hotel.name, " ", stars(hotel.star_rating)) },
      { label: t("hotels.room"), show: ({ rate }) => rate?.room ?? "–" },
      { label: t("hotels.board"), show: ({ rate }) => (rate ? nameOf("boards", rate.board_basis) : "–") },
      { label: t("fares.refundable"), show: ({ rate }) => (rate === null || rate.is_refundable === null ? t("fares.not_stated") : t(rate.is_refundable ? "ui.yes" : "ui.no")) },
      { label: t("fares.price"), end: true, show: ({ hotel, rate }) => h("strong", null, shownPrice(rate?.price ?? hotel.from_price)) },
      ...(choose === null ? [] : [{ label: t("fares.choice"), end: true, show: (/** @type {Row} */ { hotel, rate }) => rate && button(t("fares.choose"),
        () => choose(t("hotels.book_this", { hotel: hotel.name, room: rate.room, board: rate.board_basis, price: rate.price })),
        { class: "compact", "aria-label": t("hotels.choose_this", { hotel: hotel.name, room: rate.room, price: shownPrice(rate.price) }) }) }]),
    ],
  });
}

/** @param {number | null} count */
function stars(count) {
  return count ? h("span", { class: "stars", role: "img", "aria-label": t("hotels.stars", { n: count }) }, "★".repeat(count)) : null;
}
