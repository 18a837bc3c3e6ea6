// @ts-check
// Receivables and payables by age: a bar and a table for each currency, since currencies are never added.

import { api } from "../api.js";
import { stackedBar } from "../charts.js";
import { save } from "../csv.js";
import { minus } from "../decimal.js";
import { h, replace } from "../dom.js";
import { chosenIn, filters, latest } from "../filters.js";
import { amount, money, number, today } from "../format.js";
import { anchor, link, note } from "../router.js";
import { t } from "../texts.js";
import { badge, button, empty, field, load, table, unseen } from "../ui.js";

/**
 * @typedef {"receivables" | "payables"} Side
 * @typedef {{ amount: string, currency: string }} Money
 * @typedef {{ bucket: string, count: number, amount: Money }} Bucket
 * @typedef {{ currency: string, total_outstanding: Money, aging_buckets: Bucket[], not_due: Money, top_debtors: { name: string, amount: Money }[],
 *   top_creditors: { name: string, amount: Money }[], reconciliation: { aging_total: string, control_account: string, difference: string } }} Aging
 * @typedef {Aging & { as_of: string, other_currencies: Aging[] }} Report
 */

export const WINDOW = ["as_of", "from", "to"];
const EARLIEST = "1970-01-01";
const LATEST = "2999-12-31";

/** What a report is asked for: without days, all that is open. @param {import("../filters.js").Chosen} chosen */
export function windowOf({ as_of: asOf, from, to }) {
  return { as_of: asOf, from: from ?? EARLIEST, to: to ?? LATEST };
}

/** @param {import("../view.js").View} view @param {Element} tools @param {Side} side */
export function aging(view, tools, side) {
  const found = h("div", { class: "stack" });
  const next = latest(() => view.signal);
  const chosen = chosenIn(view.route.query, WINDOW);
  const show = (/** @type {import("../filters.js").Chosen} */ values) => {
    const signal = next();
    note(link("reports", side, values));
    load(found, () => api.get(`/reports/${side}`, windowOf(values), { signal }), (/** @type {Report} */ report) => {
      const all = currencies(report);
      replace(tools, all.length > 0 && button(t("ui.download"), () => save(`${side}-${report.as_of}.csv`, rows(all))));
      return all.length > 0 ? all.map((each) => oneCurrency(each, side, values)) : empty({ title: t(`reports.none.${side}`), text: t(`reports.none_text.${side}`) });
    }, signal);
  };
  const day = (/** @type {string} */ name) => field({ name, label: t(`reports.days.${name}`), type: "date", value: chosen[name] ?? (name === "as_of" ? today() : ""), required: true, control: { max: name === "as_of" ? today() : null, "data-none": name === "as_of" ? today() : null } });
  show(chosen);
  return [filters({ name: t("reports.filters"), fields: WINDOW.map(day), change: show }), found];
}

/** The agings in which something is open. @param {Report} report @returns {Aging[]} */
function currencies(report) {
  const header = { ...report, currency: report.total_outstanding.currency };
  return [header, ...report.other_currencies].filter((each) => Number(each.total_outstanding.amount) !== 0 || Number(each.reconciliation.difference) !== 0);
}

/** @param {Aging} found @param {Side} side @param {import("../filters.js").Chosen} chosen */
function oneCurrency(found, side, chosen) {
  const { currency } = found;
  const to = (/** @type {object} */ which) => link("reports", side, "documents", { ...chosen, currency, ...which });
  const overdue = minus(found.aging_buckets[0].amount.amount, found.not_due.amount);
  const [first, ...later] = found.aging_buckets;
  const label = (/** @type {string} */ name, /** @type {string} */ value) => `${t(`reports.ages.${name}`)}: ${money(value, currency)}`;
  const parts = [
    { value: Number(found.not_due.amount), label: label("not_due", found.not_due.amount), tone: "age-0", href: to({ bucket: first.bucket }) },
    { value: Number(overdue), label: label("overdue", overdue), tone: "age-1", href: to({ bucket: first.bucket }) },
    ...later.map((each, place) => ({ value: Number(each.amount.amount), label: label(each.bucket, each.amount.amount), tone: `age-${place + 2}`, href: to({ bucket: each.bucket }) })),
  ];
  return h("section", { class: "card aging", data: { currency } },
    h("div", { class: "aging-head" }, h("h2", null, currency), h("p", { class: "figure" }, anchor(to({}), null, amount(found.total_outstanding.amount, currency), unseen([" ", t("reports.documents")]))), agreement(found)),
    stackedBar({ label: t("reports.bar", { currency }), parts }),
    h("div", { class: "columns" }, buckets(found, to), parties(found, side, to)));
}

/** @param {Aging} found @param {(which: object) => string} to */
function buckets(found, to) {
  const { currency } = found;
  return table({
    class: "as-table",
    caption: t("reports.by_age", { currency }),
    columns: [
      { label: t("reports.age"), head: true, show: (/** @type {Bucket} */ each) => age(each, found, to) },
      { label: t("reports.documents"), end: true, show: (/** @type {Bucket} */ each) => number(each.count) },
      { label: t("reports.amount"), end: true, show: (/** @type {Bucket} */ each) => amount(each.amount.amount, currency) },
    ],
    rows: found.aging_buckets,
    foot: h("tr", null, h("th", { scope: "row" }, t("reports.total")), h("td", { class: "end", data: { label: t("reports.documents") } }, number(found.aging_buckets.reduce((sum, { count }) => sum + count, 0))),
      h("td", { class: "end", data: { label: t("reports.amount") } }, amount(found.total_outstanding.amount, currency))),
  });
}

/** @param {Bucket} bucket @param {Aging} found @param {(which: object) => string} to */
function age({ bucket, count }, { currency, not_due: notDue, aging_buckets: [first] }, to) {
  const name = t(`reports.ages.${bucket}`);
  const part = bucket === first.bucket && Number(notDue.amount) > 0;
  return h("div", null, count === 0 ? name : anchor(to({ bucket }), null, name), part && h("p", { class: "small quiet" }, t("reports.of_which", { amount: amount(notDue.amount, currency) })));
}

/** @param {Aging} found @param {Side} side @param {(which: object) => string} to */
function parties(found, side, to) {
  const { currency } = found;
  const top = side === "receivables" ? found.top_debtors : found.top_creditors;
  return top.length > 0 && table({
    class: "as-table",
    caption: `${t(`reports.top.${side}`)}, ${currency}`,
    columns: [
      { label: t(`reports.top.${side}`), head: true, show: (/** @type {{ name: string, amount: Money }} */ each) => anchor(to({ party: each.name }), null, each.name) },
      { label: t("reports.amount"), end: true, show: (/** @type {{ name: string, amount: Money }} */ each) => amount(each.amount.amount, currency) },
    ],
    rows: top,
  });
}

/** Whether the documents add up to the control account. @param {Aging} found */
function agreement({ currency, reconciliation: { difference, control_account: account } }) {
  return Number(difference) === 0 ? badge(t("reports.agrees", { amount: money(account, currency) }), "good") : badge(t("reports.differs", { amount: money(difference, currency) }), "bad");
}

/** @param {Aging[]} all */
function rows(all) {
  const head = ["currency", "age", "documents", "amount"];
  return [head, ...all.flatMap((each) => [
    ...each.aging_buckets.map(({ bucket, count, amount: { amount: sum } }) => [each.currency, bucket, count, sum]),
    [each.currency, "total", each.aging_buckets.reduce((sum, { count }) => sum + count, 0), each.total_outstanding.amount],
  ])];
}
