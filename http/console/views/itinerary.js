// @ts-check
// A trip day by day: what was booked in one conversation, to read and to print.

import { api } from "../api.js";
import { h, replace } from "../dom.js";
import { facts } from "../facts.js";
import { chosenIn, filters, latest } from "../filters.js";
import { date, longDate, money } from "../format.js";
import { anchor, link, note } from "../router.js";
import { locale, nameOf, t } from "../texts.js";
import { badge, empty, field, header, load, pager, printButton, section } from "../ui.js";
import { define, View } from "../view.js";
import { bookingBadge } from "./cards/booking.js";
import { flightTime } from "./cards/times.js";
import { shownTitle } from "./conversation-title.js";
import { days } from "./trip-days.js";

/** @typedef {import("./trip-days.js").Itinerary} Itinerary */
/** @typedef {{ id: string, title: string | null, created_at: string, message_count: number }} Session */

class ItineraryView extends View {
  show() {
    const session = this.route.id;
    if (session === null) this.#choice();
    else this.#trip(session);
  }

  #choice() {
    const found = h("div");
    const next = latest(() => this.signal);
    const chosen = chosenIn(this.route.query, ["q"]);
    const show = (/** @type {import("../filters.js").Chosen} */ { q = "" }) => {
      note(link("itinerary", { q }));
      replace(found, choice(q, next()));
    };
    replace(this, header(t("itinerary.title"), { lead: t("itinerary.lead") }), filters({
      name: t("itinerary.title"),
      fields: [field({ name: "q", label: t("itinerary.search"), type: "search", value: chosen.q, required: true, control: { autocomplete: "off", maxlength: 200 } })],
      change: show,
    }), found);
    show(chosen);
  }

  /** @param {string} session */
  #trip(session) {
    const whole = h("div");
    replace(this, h("p", { class: "back" }, anchor(link("itinerary"), null, t("itinerary.another"))), whole);
    const read = () => Promise.all([
      api.get("/reports/itinerary", { session_id: session }, { signal: this.signal }),
      api.get(`/chat/sessions/${session}`, {}, { signal: this.signal }),
    ]);
    load(whole, read, ([report, { title }]) => trip(report, shownTitle(title)), this.signal, t("conversations.absent"));
  }
}

/** The conversations with a trip whose title contains `q`. @param {string} q @param {AbortSignal} signal */
function choice(q, signal) {
  const sum = h("p", { class: "count quiet", role: "status" });
  return [sum, pager({
    read: async (offset, limit) => {
      const { sessions: items, total } = await api.get("/chat/sessions", { q, offset, limit, trips: 1 }, { signal });
      sum.textContent = t("itinerary.found", { n: total });
      return { items, total };
    },
    show: (/** @type {Session} */ { id, title, created_at: at }) => h("li", null, anchor(link("itinerary", id), null, shownTitle(title)), " ", h("span", { class: "quiet small" }, date(at))),
    list: h("ul", { class: "choices" }),
    none: () => (q ? empty({ title: t("itinerary.not_found", { q }), text: t("conversations.not_found_words") })
      : empty({ title: t("itinerary.none"), text: t("itinerary.none_text"), action: anchor(link("conversations"), null, t("conversations.title")) })),
    signal,
  })];
}

/** @param {Itinerary} report @param {string} title */
function trip(report, title) {
  const { passengers, flights, hotels, visas } = report;
  document.title = `${title} · ${t("itinerary.title")} · Voyagent`;
  const conversation = anchor(link("conversations", report.session_id), { class: "button" }, t("itinerary.conversation"));
  if (passengers.length + flights.length + hotels.length + visas.length === 0)
    return [header(title, { actions: conversation }), empty({ title: t("itinerary.empty"), text: t("itinerary.empty_text") })];
  return [
    header(title, { paper: named(report), lead: span(report), actions: [conversation, printButton({ tone: "primary" })] }),
    h("div", { class: "trip" }, h("div", { class: "trip-days" }, byDay(report)), h("div", { class: "stack" }, travellers(report), costs(report), papers(report))),
  ];
}

/** Paper is for the travellers: the conversation's title is the agency's own. @param {Itinerary} report */
function named({ passengers }) {
  const names = passengers.map((each) => each.full_name).join(", ");
  return names ? t("itinerary.of", { names }) : t("itinerary.title");
}

/** @param {Itinerary} report */
function span(report) {
  const all = days(report);
  if (all.length === 0) return null;
  const [first, last] = [all[0].day, all[all.length - 1].day];
  return first === last ? longDate(first) : `${longDate(first)} – ${longDate(last)}`;
}

/** @param {Itinerary} report */
function byDay(report) {
  const all = days(report);
  if (all.length === 0) return h("p", { class: "quiet" }, t("itinerary.no_days"));
  return h("ol", { class: "days" }, all.map(({ day, items }) => h("li", { class: "day" }, h("h2", null, h("time", { datetime: day }, longDate(day))),
    h("ul", null, items.map((each) => h("li", { class: ["stop", each.kind] }, h("span", { class: "stop-time" }, each.time ?? ""), h("div", null, happening(each))))))));
}

/** @param {import("./trip-days.js").Stop} stop */
function happening(stop) {
  switch (stop.kind) {
    case "flight": return flight(stop.of);
    case "arrival": return arrival(stop.of);
    default: return stay(stop.kind, stop.of);
  }
}

/** @param {import("./trip-days.js").Flight} each */
function flight(each) {
  return [h("p", null, h("strong", null, `${each.origin ?? "–"} → ${each.dest ?? "–"}`), " ", bookingBadge(each.status)), landing(each),
    h("p", { class: "small quiet" }, [each.flight ?? each.carrier, each.cabin && nameOf("cabins", each.cabin), each.pnr && t("itinerary.pnr", { pnr: each.pnr }), each.depart_local === null && t("itinerary.in_utc")].filter(Boolean).join(" · "))];
}

/** When it arrives by the clock of the place, on which day if that is another, and how long it takes. @param {import("./trip-days.js").Flight} each */
function landing({ depart, depart_local: from, arrive, arrive_local: to }) {
  if (depart === null || from === null || arrive === null || to === null) return null;
  const minutes = Math.round((Date.parse(arrive) - Date.parse(depart)) / 60_000);
  const [day, clock] = [to.slice(0, 10), to.slice(11, 16)];
  const words = day === from.slice(0, 10) ? t("itinerary.arrives", { time: clock }) : t("itinerary.arrives_on", { time: clock, day: longDate(day) });
  return h("p", { class: "small landing" }, `${words} · ${flightTime(minutes)}`);
}

/** @param {import("./trip-days.js").Flight} each */
function arrival({ origin, dest, flight: number, carrier }) {
  return [h("p", null, t("itinerary.arrival"), " ", h("strong", null, dest ?? "–")),
    h("p", { class: "small quiet" }, [number ?? carrier, t("itinerary.from", { place: origin ?? "–" })].filter(Boolean).join(" · "))];
}

/** @param {string} kind @param {import("./trip-days.js").Hotel} each */
function stay(kind, each) {
  return [h("p", null, t(`itinerary.${kind}`), " ", h("strong", null, each.name ?? "–"), " ", kind === "check_in" && bookingBadge(each.status)),
    h("p", { class: "small quiet" }, [each.city, kind === "check_in" && each.check_out && t("itinerary.until", { day: date(each.check_out) })].filter(Boolean).join(" · "))];
}

/** @param {Itinerary} report */
function travellers({ passengers }) {
  return passengers.length > 0 && section(t("itinerary.passengers", { n: passengers.length }), facts(passengers.map((each) =>
    [each.full_name, each.passport_number === null ? h("span", { class: "off-paper" }, t("itinerary.no_passport")) : t("itinerary.passport", { number: each.passport_number })])));
}

/** What the agency pays: on paper only if one asks for it. @param {Itinerary} report */
function costs({ total_cost: total, other_currencies: others, flights, hotels }) {
  const unpaid = [...flights, ...hotels].some(({ status }) => ["tentative", "pending", "requested"].includes(status));
  const printed = field({ name: "print_cost", label: t("itinerary.print_cost"), type: "checkbox", control: { on: { change: (/** @type {any} */ { target }) => shown.classList.toggle("off-paper", !target.checked) } } });
  const shown = section(t("itinerary.cost"), [total, ...others].map((each) => h("p", { class: "figure" }, money(each.amount, each.currency))),
    h("p", { class: "small quiet" }, t(unpaid ? "itinerary.held" : "itinerary.counted")), printed);
  shown.classList.add("off-paper");
  return shown;
}

/** @param {Itinerary} report */
function papers({ visas }) {
  const countries = new Intl.DisplayNames([locale()], { type: "region" });
  return visas.length > 0 && section(t("itinerary.visas"), facts(visas.map(({ country, status }) => [country === null ? "–" : countryName(countries, country), status && badge(nameOf("visas", status), status === "approved" ? "good" : "info")])));
}

/** @param {Intl.DisplayNames} names @param {string} code */
function countryName(names, code) {
  try {
    return names.of(code) ?? code;
  } catch {
    return code;
  }
}

define("vy-itinerary", ItineraryView);
