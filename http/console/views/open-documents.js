// @ts-check
// The invoices or bills behind a figure of a report, those due first in front.

import { api } from "../api.js";
import { save } from "../csv.js";
import { h, replace } from "../dom.js";
import { chosenIn } from "../filters.js";
import { amount, date, today } from "../format.js";
import { anchor, link } from "../router.js";
import { t } from "../texts.js";
import { button, busy, empty, header, pager, table, tableRow, unseen } from "../ui.js";
import { WINDOW, windowOf } from "./aging.js";

/**
 * @typedef {{ amount: string, currency: string }} Money
 * @typedef {{ id: string, number: string, reference: string | null, party_name: string, issue_date: string, due_date: string, age: number, bucket: string,
 *   total: Money, outstanding: Money, session_id: string | null }} OpenDocument
 */

const PATHS = { receivables: "/reports/receivables/invoices", payables: "/reports/payables/bills" };
const CHUNK = 500;

/** @param {import("../view.js").View} view @param {import("./aging.js").Side} side */
export function openDocuments(view, side) {
  const chosen = chosenIn(view.route.query, [...WINDOW, "currency", "bucket", "party"]);
  const { currency, bucket, party, ...days } = chosen;
  const query = { ...windowOf(days), currency, bucket, party };
  const read = (/** @type {number} */ offset, /** @type {number} */ limit) => api.get(PATHS[side], { ...query, offset, limit }, { signal: view.signal });
  const all = button(t("ui.download"), () => busy(all, async () => save(`${side}-${days.as_of ?? today()}-documents.csv`, await csvRows(read))));
  const said = [party, bucket && t(`reports.ages.${bucket}`), currency, t("reports.at", { day: date(days.as_of ?? today()) })].filter(Boolean).join(" · ");
  const list = columns(side);
  replace(view, h("p", { class: "back" }, anchor(link("reports", side, days), null, t(`reports.parts.${side}`))),
    header(t(`reports.open.${side}`), { lead: said, actions: all }),
    pager({
      read,
      show: (/** @type {OpenDocument} */ each) => tableRow(list, each),
      list: table({ class: "documents", caption: t(`reports.open.${side}`), columns: list, rows: /** @type {OpenDocument[]} */ ([]) }),
      none: () => empty({ title: t("reports.no_documents"), text: t("reports.no_documents_text") }),
      signal: view.signal,
    }));
}

/** @param {import("./aging.js").Side} side */
function columns(side) {
  return [
    { label: t("reports.number"), head: true, show: (/** @type {OpenDocument} */ each) => h("div", null, h("span", { class: "nowrap" }, each.number), each.reference && h("span", { class: "small quiet" }, " ", each.reference)) },
    { label: t(`reports.party.${side}`), show: (/** @type {OpenDocument} */ each) => each.party_name },
    { label: t("reports.issued"), show: (/** @type {OpenDocument} */ each) => h("span", { class: "nowrap" }, date(each.issue_date)) },
    { label: t("reports.due"), show: (/** @type {OpenDocument} */ each) => h("div", null, date(each.due_date), " ", h("span", { class: ["small", each.age > 0 ? "late" : "quiet"] }, age(each.age))) },
    { label: t("reports.total"), end: true, show: (/** @type {OpenDocument} */ each) => amount(each.total.amount, each.total.currency) },
    { label: t("reports.outstanding"), end: true, show: (/** @type {OpenDocument} */ each) => `${each.outstanding.currency} ${amount(each.outstanding.amount, each.outstanding.currency)}` },
    { label: t("reports.conversation"), show: (/** @type {OpenDocument} */ each) => each.session_id === null ? "–" : anchor(link("conversations", each.session_id), null, t("reports.open_it"), unseen([" ", each.number])) },
  ];
}

/** @param {number} days */
function age(days) {
  return days > 0 ? t("reports.late", { n: days }) : t("reports.ahead", { n: -days });
}

/** All pages as rows. @param {(offset: number, limit: number) => Promise<{ items: OpenDocument[], total: number }>} read */
async function csvRows(read) {
  /** @type {import("../csv.js").Cell[][]} */
  const rows = [["number", "reference", "party", "issue_date", "due_date", "days_overdue", "currency", "total", "outstanding"]];
  for (let total = 1; rows.length - 1 < total;) {
    const page = await read(rows.length - 1, CHUNK);
    total = page.items.length === 0 ? 0 : page.total;
    for (const each of page.items) rows.push([each.number, each.reference, each.party_name, each.issue_date, each.due_date, each.age, each.total.currency, each.total.amount, each.outstanding.amount]);
  }
  return rows;
}
