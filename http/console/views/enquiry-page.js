// @ts-check
// One enquiry: who asks for what, what was booked for it, and what can be done next.

import { account } from "../account.js";
import { api } from "../api.js";
import { h, replace } from "../dom.js";
import { facts } from "../facts.js";
import { date, dateTime, money, number } from "../format.js";
import { anchor, go, link } from "../router.js";
import { nameOf, sentence, t } from "../texts.js";
import { button, busy, header, load, section, table, toast } from "../ui.js";
import { bookingBadge } from "./cards/booking.js";
import { duplicates } from "./enquiry-form.js";
import { budget, conversationOf, move, moveMenu, stateBadge, travelDays, trip } from "./enquiry.js";

/** @typedef {import("./enquiry.js").Enquiry} Enquiry */
/** @typedef {{ id: string, kind: string, supplier: string, locator: string | null, status: string, cost: { amount: string, currency: string }, session_id: string | null, created_at: string }} Booking */
/** @typedef {Enquiry & { bookings: Booking[] }} Followed */

/** @param {import("../view.js").View} view @param {string} id */
export function enquiryPage(view, id) {
  const whole = h("div", { class: "stack" });
  replace(view, h("p", { class: "back" }, anchor(link("enquiries"), null, t("enquiries.all"))), whole);
  const show = () => load(whole, () => api.get(`/enquiries/${id}`, {}, { signal: view.signal }), (/** @type {Followed} */ found) => page(found, show), view.signal, t("enquiries.absent"));
  show();
}

/** @param {Followed} enquiry @param {() => void} again */
function page(enquiry, again) {
  const moved = async (/** @type {string} */ status) => {
    const after = await move(enquiry, status).catch((error) => toast(sentence(error), "bad"));
    if (after) toast(t("enquiries.moved", { name: enquiry.customer_name, status: t(`enquiries.status.${status}`) }));
    again();
  };
  document.title = `${enquiry.customer_name} · Voyagent`;
  return [
    header([enquiry.customer_name, " ", stateBadge(enquiry.status)], { lead: trip(enquiry), actions: actions(enquiry, moved) }),
    alike(enquiry),
    h("div", { class: "columns" },
      section(t("enquiries.asked_for"), facts([
        [t("enquiries.trip"), trip(enquiry) ?? "–"],
        [t("enquiries.travel"), travelDays(enquiry) ?? "–"],
        [t("enquiries.pax"), number(enquiry.pax_count)],
        [t("enquiries.budget"), budget(enquiry) ?? "–"],
      ]), enquiry.notes && [h("h3", null, t("enquiries.fields.notes")), h("p", { class: "as-typed" }, enquiry.notes)]),
      section(t("enquiries.customer"), facts([
        [t("enquiries.fields.customer_name"), enquiry.customer_name],
        [t("enquiries.fields.customer_email"), enquiry.customer_email && h("a", { href: `mailto:${encodeURIComponent(enquiry.customer_email)}` }, enquiry.customer_email)],
        [t("enquiries.fields.customer_phone"), enquiry.customer_phone && h("a", { href: `tel:${enquiry.customer_phone.replaceAll(/[^\d+]/g, "")}` }, enquiry.customer_phone)],
        [t("enquiries.created"), dateTime(enquiry.created_at)],
        [t("enquiries.updated"), dateTime(enquiry.updated_at)],
      ]))),
    booked(enquiry),
  ];
}

/** @param {Followed} enquiry @param {(status: string) => Promise<void>} moved */
function actions(enquiry, moved) {
  const opened = enquiry.session_id !== null;
  if (!account.may("write")) return opened && anchor(link("conversations", enquiry.session_id), { class: "button" }, t("enquiries.conversation"));
  const talk = button(t(opened ? "enquiries.conversation" : "enquiries.promote"), () => busy(talk, async () => {
    const session = await conversationOf(enquiry);
    if (talk.isConnected) go(link("conversations", session));
  }), { tone: "primary" });
  return [
    moveMenu(enquiry, moved, t("enquiries.change_state")),
    anchor(link("enquiries", enquiry.id, "edit"), { class: "button" }, t("enquiries.edit")),
    opened && anchor(link("itinerary", enquiry.session_id), { class: "button" }, t("itinerary.title")),
    talk,
  ];
}

/** Earlier enquiries with the same e-mail address or telephone number, of an enquiry that was created in this tab. @param {Followed} enquiry */
function alike(enquiry) {
  const found = duplicates.get(enquiry.id) ?? [];
  if (found.length === 0) return null;
  return h("div", { class: "alike", role: "status" }, h("p", null, t("enquiries.alike", { n: found.length })), h("ul", null, found.map((each) =>
    h("li", null, anchor(link("enquiries", each.id), null, each.customer_name), " ", stateBadge(each.status), " ",
      h("span", { class: "quiet small" }, date(each.created_at), " · ", each.same.map((/** @type {string} */ name) => t(`enquiries.same.${name}`)).join(", "))))));
}

/** @param {Followed} enquiry */
function booked({ bookings, session_id: session }) {
  if (bookings.length === 0) return section(t("enquiries.bookings"), h("p", { class: "quiet" }, t(session === null ? "enquiries.no_conversation" : "enquiries.no_bookings")));
  return section(t("enquiries.bookings"), table({
    caption: t("enquiries.bookings"),
    columns: [
      { label: t("enquiries.locator"), head: true, show: (each) => each.locator ?? "–" },
      { label: t("enquiries.kind"), show: (each) => nameOf("enquiries.kind_of", each.kind) },
      { label: t("enquiries.state"), show: (each) => bookingBadge(each.status) },
      { label: t("enquiries.supplier"), show: (each) => each.supplier },
      { label: t("enquiries.booked"), show: (each) => dateTime(each.created_at) },
      { label: t("enquiries.cost"), end: true, show: (each) => money(each.cost.amount, each.cost.currency) },
    ],
    rows: bookings,
  }));
}
