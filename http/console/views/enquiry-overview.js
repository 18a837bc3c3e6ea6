// @ts-check
// All enquiries that match: as a board with a column for each state, or as a list.

import { account } from "../account.js";
import { api } from "../api.js";
import { h, replace } from "../dom.js";
import { chosenIn, filters, latest } from "../filters.js";
import { date, number } from "../format.js";
import { anchor, link, note } from "../router.js";
import { t } from "../texts.js";
import { empty, field, header, pager, table, tableRow, tabs } from "../ui.js";
import { board } from "./enquiry-board.js";
import { budget, queryOf, stateBadge, STATES, travelDays, trip } from "./enquiry.js";

/** @typedef {import("./enquiry.js").Enquiry} Enquiry */
/** @typedef {import("../filters.js").Chosen} Chosen */

const NARROW = matchMedia("(max-width: 40rem)");
const TEXTS = ["q", "customer_email", "origin", "destination"];
const DAYS = ["depart_from", "depart_to", "created_from", "created_to"];
const REMEMBERED = "voyagent.enquiries";

/** @param {import("../view.js").View} view */
export function overview(view) {
  const asked = view.route.query.get("view") ?? localStorage.getItem(REMEMBERED) ?? (NARROW.matches ? "list" : "board");
  const isBoard = asked !== "list";
  const chosen = chosenIn(view.route.query, [...TEXTS, ...DAYS, ...(isBoard ? [] : ["status"])]);
  const kinds = h("div");
  const found = h("div", { class: "stack" });
  const next = latest(() => view.signal);
  /** @param {Chosen} values */
  function show(values) {
    note(link("enquiries", { view: isBoard ? "board" : "list", ...values }));
    replace(kinds, kindTabs(isBoard, values));
    replace(found, isBoard ? board(values, next(), () => none(values)) : list(values, next()));
  }
  localStorage.setItem(REMEMBERED, isBoard ? "board" : "list");
  replace(view, header(t("enquiries.title"), { lead: t("enquiries.lead"), actions: account.may("write") && newLink() }),
    kinds, filterForm(isBoard, chosen, show), found);
  show(chosen);
}

function newLink() {
  return anchor(link("enquiries", "new"), { class: "button primary" }, t("enquiries.new"));
}

/** @param {boolean} isBoard @param {Chosen} values */
function kindTabs(isBoard, { status: _, ...values }) {
  const [boarded, listed] = ["board", "list"].map((view) => link("enquiries", { view, ...values }));
  return tabs(t("enquiries.kinds"), [[boarded, t("enquiries.board")], [listed, t("enquiries.list")]], isBoard ? boarded : listed);
}

/** @param {boolean} isBoard @param {Chosen} chosen @param {(chosen: Chosen) => void} change */
function filterForm(isBoard, chosen, change) {
  const states = /** @type {[string, string][]} */ ([["all", t("ui.all")], ...STATES.map((each) => [each, t(`enquiries.status.${each}`)])]);
  const text = (/** @type {string} */ name) => field({ name, label: t(`enquiries.filters.${name}`), value: chosen[name], type: "search", required: true, control: { maxlength: 128, autocomplete: "off" } });
  const day = (/** @type {string} */ name) => field({ name, label: t(`enquiries.filters.${name}`), value: chosen[name], type: "date", required: true });
  return filters({
    name: t("enquiries.filters.title"),
    fields: isBoard ? [text("q")] : [text("q"), field({ name: "status", label: t("enquiries.state"), value: chosen.status ?? "all", options: states, control: { "data-none": "all" } })],
    more: [...TEXTS.slice(1).map(text), ...DAYS.map(day)],
    change,
  });
}

/** @param {Chosen} values */
function none(values) {
  return Object.keys(values).length > 0
    ? empty({ title: t("enquiries.none_match"), text: t("enquiries.none_match_text") })
    : empty({ title: t("enquiries.none"), text: t("enquiries.none_text"), action: account.may("write") && newLink() });
}

/** @param {Chosen} values @param {AbortSignal} signal */
function list(values, signal) {
  const columns = [
    { label: t("enquiries.customer"), head: true, show: (/** @type {Enquiry} */ each) => anchor(link("enquiries", each.id), null, each.customer_name) },
    { label: t("enquiries.state"), show: (/** @type {Enquiry} */ each) => stateBadge(each.status) },
    { label: t("enquiries.trip"), show: (/** @type {Enquiry} */ each) => trip(each) ?? "–" },
    { label: t("enquiries.travel"), show: (/** @type {Enquiry} */ each) => travelDays(each) ?? "–" },
    { label: t("enquiries.pax"), end: true, show: (/** @type {Enquiry} */ each) => number(each.pax_count) },
    { label: t("enquiries.budget"), end: true, show: (/** @type {Enquiry} */ each) => budget(each) ?? "–" },
    { label: t("enquiries.created"), show: (/** @type {Enquiry} */ each) => date(each.created_at) },
  ];
  const sum = h("p", { class: "count quiet", role: "status" });
  const shown = pager({
    read: async (offset, limit) => {
      const page = await api.get("/enquiries", { ...queryOf(values), limit, offset }, { signal });
      sum.textContent = t("enquiries.found", { n: page.total });
      return page;
    },
    show: (/** @type {Enquiry} */ each) => tableRow(columns, each),
    list: table({ caption: t("enquiries.title"), columns, rows: /** @type {Enquiry[]} */ ([]) }),
    none: () => none(values),
    signal,
  });
  return [sum, shown];
}
