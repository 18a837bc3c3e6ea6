// @ts-check
// Invoices and bills: one that was drafted or issued, and lists of them.

import { h } from "../../dom.js";
import { amount, date, money } from "../../format.js";
import { nameOf, t } from "../../texts.js";
import { badge, table } from "../../ui.js";
import { pair } from "./fields.js";

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
