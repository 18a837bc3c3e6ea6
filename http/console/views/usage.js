// @ts-check
// What the agent's model was used for, by day.

import { api } from "../api.js";
import { dayColumns } from "../charts.js";
import { save } from "../csv.js";
import { h, replace } from "../dom.js";
import { facts } from "../facts.js";
import { chosenIn, filters, latest } from "../filters.js";
import { date, number } from "../format.js";
import { link, note } from "../router.js";
import { t, tag } from "../texts.js";
import { button, empty, field, load, section, table } from "../ui.js";

/**
 * @typedef {{ calls: number, input_tokens: number, output_tokens: number, cache_read_tokens: number, cache_write_tokens: number }} Counts
 * @typedef {Counts & { date: string, model: string, cost_usd: string | null }} Day
 * @typedef {{ period: { from: string, to: string }, items: Day[], totals: Counts & { cost_usd: string, unpriced_calls: number },
 *   budget: { limit: number | null, used_today: number, reserved: number } }} Report
 */

const TOKENS = /** @type {const} */ (["input_tokens", "output_tokens", "cache_read_tokens", "cache_write_tokens"]);
const MEASURES = ["tokens", "calls", "cost"];
const DAY_MS = 86_400_000;

/** @param {import("../view.js").View} view @param {Element} tools */
export function usage(view, tools) {
  const found = h("div", { class: "stack" });
  const next = latest(() => view.signal);
  const chosen = chosenIn(view.route.query, ["from", "to", "measure"]);
  const show = (/** @type {import("../filters.js").Chosen} */ { measure, ...days }) => {
    const signal = next();
    note(link("reports", "usage", { ...days, measure }));
    load(found, () => api.get("/reports/usage", days, { signal }), (/** @type {Report} */ report) => {
      const { from, to } = report.period;
      replace(tools, report.items.length > 0 && button(t("ui.download"), () => save(`usage-${from}-${to}.csv`, rows(report.items))));
      return shown(report, measure ?? MEASURES[0]);
    }, signal);
  };
  show(chosen);
  return [filters({
    name: t("reports.filters"),
    fields: [
      field({ name: "from", label: t("reports.usage.from"), type: "date", value: chosen.from, required: true }),
      field({ name: "to", label: t("reports.usage.to"), type: "date", value: chosen.to, required: true }),
      field({ name: "measure", label: t("reports.usage.measure"), value: chosen.measure ?? MEASURES[0], options: MEASURES.map((each) => [each, t(`reports.usage.${each}`)]), control: { "data-none": MEASURES[0] } }),
    ],
    change: show,
  }), found];
}

/** @param {Report} report @param {string} measure */
function shown(report, measure) {
  const { period, items, budget } = report;
  const spent = section(t("reports.usage.today"), facts([
    [t("reports.usage.used"), tokens(budget.used_today)],
    [t("reports.usage.reserved"), tokens(budget.reserved)],
    [t("reports.usage.limit"), budget.limit === null ? t("reports.usage.no_limit") : tokens(budget.limit)],
  ]));
  if (items.length === 0) return [empty({ title: t("reports.usage.none"), text: t("reports.usage.none_text") }), spent];
  const values = daysOf(period).map((day) => ({ day, value: items.filter((each) => each.date === day).reduce((sum, each) => sum + measured(each, measure), 0) }));
  const most = values.reduce((one, other) => other.value > one.value ? other : one);
  const said = (/** @type {{ day: string, value: number }} */ each) => `${date(each.day)}: ${measure === "cost" ? dollars(each.value) : number(each.value)}`;
  return [
    section(t(`reports.usage.${measure}`), dayColumns({
      label: t("reports.usage.chart", { measure: t(`reports.usage.${measure}`), from: date(period.from), to: date(period.to) }),
      columns: values.map((each) => ({ value: each.value, label: said(each) })),
      first: date(period.from),
      last: date(period.to),
      most: t("reports.usage.most", { day: said(most) }),
    })),
    days(report),
    spent,
  ];
}

/** @param {Report} report */
function days({ items, totals }) {
  const count = (/** @type {keyof Counts} */ name) => ({ label: t(`reports.usage.${name}`), end: true, show: (/** @type {Day} */ each) => number(each[name]) });
  return [table({
    caption: t("reports.usage.by_day"),
    columns: [
      { label: t("reports.usage.day"), head: true, show: (/** @type {Day} */ each) => date(each.date) },
      { label: t("reports.usage.model"), show: (/** @type {Day} */ each) => each.model },
      count("calls"), ...TOKENS.map(count),
      { label: t("reports.usage.cost"), end: true, show: (/** @type {Day} */ each) => each.cost_usd === null ? t("reports.usage.unpriced") : dollars(each.cost_usd) },
    ],
    rows: items.toReversed(),
    foot: h("tr", null, h("th", { scope: "row", colspan: 2 }, t("reports.total")), [/** @type {const} */ ("calls"), ...TOKENS].map((name) => h("td", { class: "end", data: { label: t(`reports.usage.${name}`) } }, number(totals[name]))),
      h("td", { class: "end", data: { label: t("reports.usage.cost") } }, dollars(totals.cost_usd))),
  }), totals.unpriced_calls > 0 && h("p", { class: "small quiet" }, t("reports.usage.unpriced_calls", { n: totals.unpriced_calls, count: number(totals.unpriced_calls) }))];
}

/** @param {Day} day @param {string} measure */
function measured(day, measure) {
  if (measure === "cost") return Number(day.cost_usd ?? 0);
  return measure === "calls" ? day.calls : TOKENS.reduce((sum, name) => sum + day[name], 0);
}

/** @param {number} n */
function tokens(n) {
  return t("reports.usage.tokens_of", { n, count: number(n) });
}

/** Model prices are small: up to four decimals. @param {string | number} value */
function dollars(value) {
  return new Intl.NumberFormat(tag(), { style: "currency", currency: "USD", currencyDisplay: "code", maximumFractionDigits: 4 }).format(/** @type {any} */ (value)).replaceAll("\u00a0", " ");
}

/** @param {{ from: string, to: string }} period */
function daysOf({ from, to }) {
  const found = [];
  for (let at = Date.parse(from); at <= Date.parse(to); at += DAY_MS) found.push(new Date(at).toISOString().slice(0, 10));
  return found;
}

/** @param {Day[]} items */
function rows(items) {
  const names = /** @type {(keyof Day)[]} */ (["date", "model", "calls", ...TOKENS, "cost_usd"]);
  return [names, ...items.map((each) => names.map((name) => each[name]))];
}
