// @ts-check
// The trial balance of any day, a table for each currency, and whether the books agree with the open documents.

import { api } from "../api.js";
import { save } from "../csv.js";
import { h, replace } from "../dom.js";
import { chosenIn, filters, latest } from "../filters.js";
import { amount, money, today } from "../format.js";
import { link, note } from "../router.js";
import { nameOf, t, translated } from "../texts.js";
import { badge, button, empty, field, load, table } from "../ui.js";

/**
 * @typedef {{ code: string, name: string, type: string, debit: string, credit: string, balance: string, currency: string }} Account
 * @typedef {{ currency: string, accounts: Account[], total_debit: string, total_credit: string, in_balance: boolean }} Balance
 * @typedef {{ aging_total: string, control_account: string, difference: string }} Reconciled
 * @typedef {Balance & { as_of: string, other_currencies: Balance[], reconciliation: { currency: string, receivables: Reconciled, payables: Reconciled }[] }} Report
 */

/** @param {import("../view.js").View} view @param {Element} tools */
export function trialBalance(view, tools) {
  const found = h("div", { class: "stack" });
  const next = latest(() => view.signal);
  const chosen = chosenIn(view.route.query, ["as_of", "include_zero"]);
  const show = (/** @type {import("../filters.js").Chosen} */ values) => {
    const signal = next();
    note(link("reports", "trial-balance", values));
    load(found, () => api.get("/reports/trial-balance", values, { signal }), (/** @type {Report} */ report) => {
      const all = balances(report);
      replace(tools, all.length > 0 && button(t("ui.download"), () => save(`trial-balance-${report.as_of}.csv`, rows(all))));
      if (all.length === 0) return empty({ title: t("reports.no_accounts"), text: t("reports.no_accounts_text") });
      return all.map((each) => oneCurrency(each, report.reconciliation.find(({ currency }) => currency === each.currency)));
    }, signal);
  };
  show(chosen);
  return [filters({
    name: t("reports.filters"),
    fields: [
      field({ name: "as_of", label: t("reports.days.as_of"), type: "date", value: chosen.as_of ?? today(), required: true, control: { "data-none": today() } }),
      field({ name: "include_zero", label: t("reports.include_zero"), type: "checkbox", value: chosen.include_zero === "1" }),
    ],
    change: show,
  }), found];
}

/** The balances with accounts; of the first one only its accounts name the currency. @param {Report} report @returns {Balance[]} */
export function balances(report) {
  const others = report.other_currencies;
  return [{ ...report, currency: report.accounts[0]?.currency ?? "" }, ...others].filter(({ accounts }) => accounts.length > 0);
}

/** @param {Balance} found @param {{ receivables: Reconciled, payables: Reconciled } | undefined} reconciled */
function oneCurrency(found, reconciled) {
  const { currency } = found;
  const sum = (/** @type {"debit" | "credit" | "balance"} */ name) => (/** @type {Account} */ each) => amount(each[name], currency);
  return h("section", { class: "stack", data: { currency } },
    h("div", { class: "aging-head" }, h("h2", null, currency), badge(t(found.in_balance ? "reports.in_balance" : "reports.out_of_balance"), found.in_balance ? "good" : "bad"),
      reconciled && ["receivables", "payables"].map((side) => agreement(currency, side, Reflect.get(reconciled, side)))),
    table({
      class: "fixed",
      caption: t("reports.accounts_in", { currency }),
      columns: [
        { label: t("reports.code"), head: true, show: (/** @type {Account} */ each) => each.code },
        { label: t("reports.account"), show: (/** @type {Account} */ each) => translated("accounts", each.code, each.name) },
        { label: t("reports.type"), show: (/** @type {Account} */ each) => nameOf("reports.types", each.type) },
        { label: t("reports.debit"), end: true, show: sum("debit") },
        { label: t("reports.credit"), end: true, show: sum("credit") },
        { label: t("reports.balance"), end: true, show: sum("balance") },
      ],
      rows: found.accounts,
      foot: h("tr", null, h("th", { scope: "row", colspan: 3 }, t("reports.total")), ...["debit", "credit"].map((name) => h("td", { class: "end", data: { label: t(`reports.${name}`) } }, amount(Reflect.get(found, `total_${name}`), currency))), h("td")),
    }));
}

/** @param {string} currency @param {string} side @param {Reconciled} found */
function agreement(currency, side, { control_account: account, difference }) {
  if (Number(account) === 0 && Number(difference) === 0) return null;
  const agrees = Number(difference) === 0;
  return badge(t(`reports.${agrees ? "match" : "mismatch"}.${side}`, { amount: money(agrees ? account : difference, currency) }), agrees ? "good" : "bad");
}

/** @param {Balance[]} all */
function rows(all) {
  const names = /** @type {(keyof Account)[]} */ (["currency", "code", "name", "type", "debit", "credit", "balance"]);
  return [names, ...all.flatMap(({ accounts }) => accounts.map((each) => names.map((name) => each[name])))];
}
