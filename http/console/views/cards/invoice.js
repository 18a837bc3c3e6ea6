// @ts-check
// Invoices and bills: one that was drafted or issued, and lists of them.

import { minus, plus, rounded, times } from "../../decimal.js";
import { h } from "../../dom.js";
import { amount, date, minorDigits, money, number } from "../../format.js";
import { nameOf, t } from "../../texts.js";
import { badge, table } from "../../ui.js";
import { pair } from "./fields.js";

/** @typedef {{ code: string, taxable_amount: string, rate_bps?: number | null, tax_amount?: string | null }} Tax */
/** @typedef {{ description: string, unit_price: string, quantity?: string | number, currency?: string | null, discount?: string | null, discount_reason?: string | null, taxes?: Tax[], total?: string | null }} Line */

const EXACT = 4; // decimals that a line is rounded to

/** @param {any} output @param {any} input */
export function invoice(output, input) {
  const given = input.invoice ?? input;
  const total = output.total_amount ?? input.amount;
  const lines = given.line_items ?? given.lines ?? [];
  const currency = output.currency ?? given.currency ?? lines[0]?.currency;
  return [
    h("dl", { class: "fields wide" },
      pair(t("invoice.number"), (output.number ?? output.invoice_number) && h("strong", null, output.number ?? output.invoice_number)),
      pair(t("booking.status"), status(output.status ?? output.invoice_status ?? output.bill_status)),
      pair(t("invoice.discount"), output.discount_amount && money(`-${output.discount_amount}`, currency)),
      pair(t("invoice.total"), total && h("strong", null, money(total, currency))),
      pair(t("invoice.due_amount"), output.amount_due && money(output.amount_due, currency)),
      pair(t("invoice.party"), given.customer_name ?? given.client_name ?? given.vendor_name),
      pair(t("invoice.issued"), given.issue_date && date(given.issue_date)),
      pair(t("invoice.due"), given.due_date && date(given.due_date))),
    lines.length > 0 && table({
      caption: t("invoice.lines"), rows: lines, class: "dense",
      columns: [
        { label: t("invoice.description"), head: true, show: (/** @type {any} */ line) => line.description },
        { label: t("invoice.quantity"), end: true, show: (line) => String(line.quantity ?? 1) },
        { label: t("invoice.unit_price"), end: true, show: (line) => money(line.unit_price, line.currency ?? currency) },
        ...(lines.some(isDiscounted) ? [discounts(currency)] : []),
        ...(lines.some((/** @type {Line} */ line) => line.taxes?.length) ? [taxes(currency)] : []),
        { label: t("invoice.amount"), end: true, show: (line) => lineAmount(line, line.currency ?? currency) },
      ],
    }),
  ];
}

/** The column of what is deducted from each line, and why. @param {string | undefined} currency */
function discounts(currency) {
  return {
    label: t("invoice.discount"), end: true,
    show: (/** @type {any} */ line) => isDiscounted(line) ? [money(`-${line.discount}`, line.currency ?? currency),
      line.discount_reason && h("div", { class: "small quiet" }, line.discount_reason)] : "–",
  };
}

/** The column of each line's taxes. @param {string | undefined} currency */
function taxes(currency) {
  return {
    label: t("invoice.tax"), end: true,
    show: (/** @type {Line} */ line) => line.taxes?.length ? line.taxes.map((tax) => {
      const sum = taxAmount(tax, line.currency ?? currency);
      const rate = tax.rate_bps ?? null;
      return h("div", null, sum !== null && money(sum, line.currency ?? currency), h("div", { class: "small quiet" }, tax.code, rate !== null && ` ${number(rate / 100)} %`));
    }) : "–",
  };
}

/** What a line comes to; before tax if the service is to find the rate of a tax. @param {Line} line @param {string | undefined} currency */
function lineAmount(line, currency) {
  if (line.total) return money(line.total, currency);
  const net = minus(rounded(times(String(line.quantity ?? 1), line.unit_price), EXACT), line.discount ?? "0");
  const sums = (line.taxes ?? []).map((tax) => taxAmount(tax, currency));
  if (sums.includes(null)) return [money(net, currency), h("div", { class: "small quiet" }, t("invoice.before_tax"))];
  return money(sums.reduce((/** @type {string} */ sum, each) => plus(sum, each ?? "0"), net), currency);
}

/** As it was given, else as it follows from the rate. @param {Tax} tax @param {string | undefined} currency */
function taxAmount({ tax_amount: given, taxable_amount: taxable, rate_bps: rate }, currency) {
  if (given) return given;
  return rate === undefined || rate === null ? null : rounded(times(times(taxable, String(rate)), "0.0001"), minorDigits(currency));
}

/** @param {any} line */
function isDiscounted(line) {
  return Number(line.discount ?? 0) > 0;
}

/** @param {any} output */
export function invoices(output) {
  const rows = output.invoices ?? output.bills ?? [];
  if (rows.length === 0) return h("p", { class: "quiet" }, t("invoice.none"));
  return table({
    caption: t("invoice.list"), rows, class: "dense",
    columns: [
      { label: t("invoice.number"), head: true, show: (/** @type {any} */ row) => row.number },
      { label: t("invoice.party"), show: (row) => row.party_name },
      { label: t("invoice.due"), show: (row) => date(row.due_date) },
      { label: t("booking.status"), show: (row) => status(row.status) },
      { label: t("invoice.total"), end: true, show: (row) => `${row.currency} ${amount(row.total_amount, row.currency)}` },
      { label: t("invoice.due_amount"), end: true, show: (row) => amount(row.amount_due, row.currency) },
    ],
  });
}

/** @param {string | undefined} code */
function status(code) {
  return code && badge(nameOf("statuses", code), code === "paid" ? "good" : code === "void" ? "plain" : code === "draft" ? "info" : "warn");
}
