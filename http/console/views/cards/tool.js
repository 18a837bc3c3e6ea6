// @ts-check
// A tool call as a card: what was asked for, what came of it, and the approval it waits for.

import { append, h, replace } from "../../dom.js";
import { date, longDate } from "../../format.js";
import { has, nameOf, t } from "../../texts.js";
import { badge } from "../../ui.js";
import { accounts } from "./accounts.js";
import { booking } from "./booking.js";
import { fares } from "./fares.js";
import { fieldList } from "./fields.js";
import { hotels } from "./hotels.js";
import { invoice, invoices } from "./invoice.js";
import { shownPrice } from "./price.js";

/** @typedef {{ choose: ((text: string) => void) | null }} Context */
/** @typedef {{ id: string, name: string, input: any }} Call */

/** Results that are shown whole; others are a line that opens. @type {Record<string, (output: any, input: any, context: Context) => import("../../dom.js").Child>} */
const SHOWN = {
  search_flights: fares, search_hotels: hotels,
  hold_flight: booking, book_flight: booking, issue_ticket: booking, cancel_flight_order: booking, read_pnr: booking,
  book_hotel: booking, cancel_hotel_booking: booking, read_hotel_booking: booking,
  draft_invoice: invoice, create_invoice: invoice, issue_invoice: invoice, void_invoice: invoice, record_payment: invoice, record_bill: invoice, pay_bill: invoice,
  list_invoices: invoices, list_bills: invoices, list_ledger_accounts: accounts,
};
const DONE = new Set(["held", "booked", "issued", "cancelled", "drafted", "created", "voided", "recorded", "paid", "posted", "reversed", "saved", "opened", "updated", "checked", "read", "fetched", "reconciled"]);

/** What was asked for, in a few words. @type {Record<string, (input: any) => (string | null | undefined | false)[]>} */
const GISTS = {
  search_flights: ({ origin, destination, outbound_date: out, return_date: back, passengers, cabin }) => [`${origin} – ${destination}`, [out, back].filter(Boolean).map(date).join(" – "), travellers(passengers), cabin && cabin !== "economy" && nameOf("cabins", cabin)],
  search_hotels: ({ city, check_in: from, check_out: to, guests }) => [city, `${date(from)} – ${date(to)}`, t("tools.guests", { n: guests })],
  lookup_passenger: ({ query }) => [query],
  upsert_passenger: ({ full_name: name }) => [name],
  read_pnr: ({ locator }) => [locator],
  draft_invoice: ({ customer_name: name }) => [name],
  record_bill: ({ vendor_name: name }) => [name],
  list_tax_rates: ({ on }) => [on && longDate(on)],
  fetch_bsp_statement: ({ country, period_start: from, period_end: to }) => [country, `${date(from)} – ${date(to)}`],
};

/** @param {Record<string, number> | undefined} party */
function travellers(party = {}) {
  const n = Object.values(party).reduce((sum, each) => sum + each, 0);
  return t("tools.travellers", { n: n || 1 });
}

/** @param {any} output @returns {"done" | "refused" | "failed" | "unknown"} */
export function outcomeOf(output) {
  if (typeof output !== "object" || output === null) return "done";
  if (typeof output.error === "string") return output.error.startsWith("outcome_unknown") ? "unknown" : "failed";
  return Object.entries(output).some(([name, value]) => DONE.has(name) && value === false) && !output.scheduled ? "refused" : "done";
}

export class ToolCard {
  #state = h("span", { class: "tool-state" });
  #body = h("div", { class: "tool-body" });
  #approval = h("div", { class: "tool-approval" });
  #context;
  outcome = /** @type {"waiting" | "done" | "refused" | "failed" | "unknown"} */ ("waiting");

  /** @param {Call} call @param {Context} context */
  constructor(call, context) {
    this.call = call;
    this.#context = context;
    const title = nameOf("tools", call.name);
    const gist = gistOf(call);
    this.element = h("article", { class: "tool", data: { tool: call.name }, "aria-label": title },
      h("header", { class: "tool-head" }, h("h2", null, title), gist && h("span", { class: "tool-gist" }, gist), this.#state), this.#approval, this.#body);
    this.wait();
  }

  /** It runs, or is about to. */
  wait() {
    replace(this.#state, h("span", { class: "dots", "aria-hidden": "true" }), h("span", { class: "small quiet" }, t("conversations.working")));
  }

  /** It waits for a person: the card says what for. @param {Element} card @param {boolean} pending */
  approval(card, pending) {
    if (!card.isConnected || card.parentElement !== this.#approval) replace(this.#approval, card);
    if (this.outcome === "waiting") pending ? replace(this.#state) : this.wait();
  }

  /** It will not answer any more. */
  abandon() {
    if (this.outcome === "waiting") replace(this.#state);
  }

  /** @param {any} output */
  result(output) {
    this.outcome = outcomeOf(output);
    this.element.dataset.outcome = this.outcome;
    replace(this.#state, this.#badge());
    replace(this.#body);
    append(this.#body, [this.#shown(output)]);
  }

  #badge() {
    if (this.outcome === "unknown") return badge(t("conversations.unknown"), "bad");
    if (this.outcome === "done") return null;
    return badge(t("conversations.not_done"), "warn");
  }

  /** @param {any} output @returns {import("../../dom.js").Child} */
  #shown(output) {
    const { name, input } = this.call;
    const view = SHOWN[name];
    if (this.outcome === "unknown") return [h("p", { class: "unknown-words" }, t("conversations.unknown_words")), this.#details(output)];
    if (this.outcome !== "done") return [h("p", null, reasonOf(output)), this.#details(output)];
    return view ? view(output, input ?? {}, this.#context) : this.#details(output);
  }

  /** @param {any} output */
  #details(output) {
    return h("details", { class: "tool-details" }, h("summary", null, t("conversations.details")),
      h("h3", null, t("conversations.asked")), fieldList(this.call.input ?? {}),
      h("h3", null, t("conversations.answered")), fieldList(typeof output === "object" && output !== null ? output : { result: output }));
  }
}

/** @param {Call} call */
function gistOf({ name, input }) {
  try {
    return GISTS[name]?.(input).filter(Boolean).join(" · ") ?? null;
  } catch {
    return null; // a model may have asked for anything
  }
}

/** Why it was not done: the code in words, with what the service says beside it. @param {any} output */
function reasonOf(output) {
  const [, code = "", text = ""] = /^([a-z_]+)(?:: (.*))?$/s.exec(output.error ?? output.reason ?? output.error_code ?? "") ?? [null, "", output.error];
  const words = has(`reasons.${code}`) ? t(`reasons.${code}`) : "";
  return [words, output.detail ?? text, output.error && output.reason && t("conversations.denied_because", { reason: output.reason })].filter(Boolean).join(" ") || nameOf("reasons", code);
}

export { shownPrice };
