// @ts-check
// What all views of an enquiry share: its words, its states, and what changes it.

import { account } from "../account.js";
import { api } from "../api.js";
import { h } from "../dom.js";
import { date, money, relative } from "../format.js";
import { anchor, link } from "../router.js";
import { t } from "../texts.js";
import { badge, menu, unseen } from "../ui.js";

/**
 * @typedef {{ id: string, customer_name: string, customer_email: string | null, customer_phone: string | null, origin: string | null,
 *   destination: string | null, depart_date: string | null, return_date: string | null, pax_count: number, budget_amount: string | null,
 *   budget_currency: string | null, status: string, notes: string | null, session_id: string | null, created_by_user_id: string,
 *   created_at: string, updated_at: string }} Enquiry
 */

export const STATES = ["new", "quoted", "booked", "cancelled"];
const OVER = ["booked", "cancelled"];
/** @type {Record<string, "good" | "warn" | "info" | "plain">} */
const TONES = { new: "info", quoted: "warn", booked: "good", cancelled: "plain" };

/** @param {string} status */
export function stateBadge(status) {
  return badge(t(`enquiries.status.${status}`), TONES[status]);
}

/** The states an enquiry may change to: one that is over is not opened again. @param {string} status */
export function onward(status) {
  return STATES.filter((each) => each !== status && !(OVER.includes(status) && !OVER.includes(each)));
}

/** @param {Enquiry} enquiry @param {string} status @returns {Promise<Enquiry>} */
export function move(enquiry, status) {
  return api.patch(`/enquiries/${enquiry.id}`, { status });
}

/** A menu of the states an enquiry may change to; nothing for who may not. @param {Enquiry} enquiry @param {(status: string) => unknown} act @param {import("../dom.js").Child} label */
export function moveMenu(enquiry, act, label) {
  if (!account.may("write")) return null;
  return menu({
    label: [label, unseen([" ", enquiry.customer_name]), h("span", { "aria-hidden": "true" }, "▾")],
    items: onward(enquiry.status).map((status) => mover(status, act)),
  });
}

/** @param {string} status @param {(status: string) => unknown} act */
function mover(status, act) {
  return h("button", { type: "button", on: { click: () => act(status) } }, t(`enquiries.status.${status}`));
}

/** @param {Enquiry} enquiry */
export function trip({ origin, destination }) {
  if (origin && destination) return `${origin} → ${destination}`;
  return origin ? t("enquiries.from_place", { place: origin }) : destination ? t("enquiries.to_place", { place: destination }) : null;
}

/** @param {Enquiry} enquiry */
export function travelDays({ depart_date: depart, return_date: back }) {
  if (depart === null) return back === null ? null : t("enquiries.back_on", { day: date(back) });
  return back === null ? date(depart) : `${date(depart)} – ${date(back)}`;
}

/** @param {Enquiry} enquiry */
export function budget({ budget_amount: amount, budget_currency: currency }) {
  return amount === null ? null : currency === null ? amount : money(amount, currency);
}

/** @param {Enquiry} enquiry */
export function travellers({ pax_count: n }) {
  return t("enquiries.travellers", { n });
}

/** The enquiry's conversation, which is begun if there is none. @param {Enquiry} enquiry @returns {Promise<string>} its id */
export async function conversationOf({ id, session_id: session }) {
  return session ?? (await api.post(`/enquiries/${id}/promote-to-session`, undefined, { idempotent: true })).session_id;
}

/** One enquiry on the board. @param {Enquiry} each */
export function summary(each) {
  return [
    h("h3", null, anchor(link("enquiries", each.id), null, each.customer_name)),
    trip(each) && h("p", null, trip(each)),
    h("p", { class: "small" }, [travelDays(each), travellers(each)].filter(Boolean).join(" · ")),
    h("p", { class: "small quiet" }, [budget(each), relative(each.created_at)].filter(Boolean).join(" · ")),
  ];
}

/** What the API is asked for these filters. @param {import("../filters.js").Chosen} values */
export function queryOf(values) {
  return { ...values, tz: values.created_from || values.created_to ? "agency" : null };
}
