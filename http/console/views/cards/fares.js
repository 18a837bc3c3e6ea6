// @ts-check
// The fares of a search, to be compared.

import { h, replace } from "../../dom.js";
import { date, shortDate, time } from "../../format.js";
import { t } from "../../texts.js";
import { badge, button, table } from "../../ui.js";
import { shownPrice } from "./price.js";
import { dayChange, flightTime, local, minutesBetween } from "./times.js";

/** @typedef {{ way: string, flight: string, origin: string, destination: string, departs_local: string, arrives_local: string }} Segment */
/** @typedef {{ fare_id: string, price: string, carrier: string, stops: number, baggage: string | null, refundable: boolean | null, changeable: boolean | null, conditions: string | null, hold_possible: boolean | null, seats_left?: number | null, valid_until: string, segments: Segment[] }} Fare */
/** @typedef {{ flights: string, route: string, departs: import("./times.js").Local | null, arrives: import("./times.js").Local | null, via: string[] }} Way */

const SHOWN = 6;
const FEW_SEATS = 9;

/** @param {any} output @param {any} input @param {import("./tool.js").Context} context */
export function fares(output, input, { choose }) {
  /** @type {Fare[]} */
  const all = output.fares ?? [];
  if (all.length === 0) return h("p", { class: "quiet" }, t("fares.none"));
  const caption = t("fares.caption", { n: output.count ?? all.length, route: `${input.origin} – ${input.destination}, ${date(input.outbound_date ?? null)}` });
  const place = h("div", { class: "fares" });
  /** @type {(whole: boolean) => void} */
  const show = (whole) => replace(place, compared(caption, whole ? all : all.slice(0, SHOWN), choose),
    h("div", { class: "row-end" }, h("p", { class: "quiet small" }, t("fares.until", { time: time(all[0].valid_until) })),
      all.length > SHOWN && button(whole ? t("fares.fewer", { n: SHOWN }) : t("fares.all", { n: all.length }), () => show(!whole), { tone: "quiet", class: "compact" })));
  show(false);
  return place;
}

/** @param {string} caption @param {Fare[]} rows @param {((text: string) => void) | null} choose */
function compared(caption, rows, choose) {
  const numbered = rows.map((fare, place) => ({ fare, place: place + 1, ways: ways(fare.segments ?? []) }));
  /** @typedef {typeof numbered[number]} Row */
  /** @param {(way: Way) => import("../../dom.js").Child} part @returns {(row: Row) => import("../../dom.js").Child} */
  const each = (part) => (row) => row.ways.map((way) => h("div", { class: "way" }, part(way)));
  return table({
    caption, rows: numbered, class: "dense fare-table",
    columns: [
      { label: t("fares.flight"), head: true, show: (row) => row.ways.map((way) => h("div", { class: "way" }, way.flights, row.ways.length > 1 && [" ", h("small", { class: "quiet" }, way.route)])) },
      { label: t("fares.departs"), show: each(({ departs }) => departs && [h("strong", null, departs.clock), " ", h("small", { class: "quiet" }, shortDate(departs.day))]) },
      { label: t("fares.arrives"), show: each(arrival) },
      { label: t("fares.duration"), show: each(({ departs, arrives }) => departs && arrives && flightTime(minutesBetween(departs, arrives))) },
      { label: t("fares.stops"), show: each(({ via }) => via.length === 0 ? t("fares.direct") : [t("fares.stops_n", { n: via.length }), " ", h("small", { class: "quiet" }, via.join(", "))]) },
      { label: t("fares.baggage"), show: ({ fare }) => h("small", null, fare.baggage ?? t("fares.not_stated")) },
      { label: t("fares.refundable"), show: ({ fare }) => refund(fare) },
      { label: t("fares.price"), end: true, show: ({ fare }) => [h("strong", null, shownPrice(fare.price)), few(fare.seats_left)] },
      ...(choose === null ? [] : [{ label: t("fares.choice"), end: true, show: (/** @type {Row} */ { fare, place, ways: [out] }) => button(t("fares.choose"),
        () => choose(t(fare.hold_possible === false ? "fares.book_this" : "fares.hold_this", { place: String(place), flight: out?.flights ?? fare.carrier, price: fare.price })),
        { class: "compact", "aria-label": t("fares.choose_this", { flight: out?.flights ?? fare.carrier, price: shownPrice(fare.price) }) }) }]),
    ],
  });
}

/** @param {Way} way */
function arrival({ departs, arrives }) {
  if (!departs || !arrives) return null;
  const change = dayChange(departs, arrives);
  return [h("strong", null, arrives.clock), change && h("span", { class: "day-change", title: date(arrives.day), "aria-label": t("fares.arrives_on", { date: date(arrives.day) }), role: "img" }, change)];
}

/** @param {Fare} fare */
function refund({ refundable, conditions, hold_possible: hold }) {
  const known = refundable === null || refundable === undefined ? t("fares.not_stated") : t(refundable ? "fares.yes_refundable" : "ui.no");
  return [h("span", { title: conditions ?? null }, known), hold && [" ", badge(t("fares.hold"), "info")]];
}

/** @param {number | null | undefined} left */
function few(left) {
  return left !== null && left !== undefined && left <= FEW_SEATS && h("div", { class: "few" }, t("fares.left", { n: left }));
}

/** Segments by way, out and back. @param {Segment[]} segments @returns {Way[]} */
function ways(segments) {
  return [...new Set(segments.map(({ way }) => way))].map((name) => {
    const legs = segments.filter(({ way }) => way === name);
    const [first, last] = [legs[0], legs[legs.length - 1]];
    return {
      flights: legs.map(({ flight }) => flight).join(" + "), route: `${first.origin}–${last.destination}`, via: legs.slice(1).map(({ origin }) => origin),
      departs: local(first.departs_local), arrives: local(last.arrives_local),
    };
  });
}
