// @ts-check
// The ledger accounts of the agency.

import { h } from "../../dom.js";
import { nameOf, t, translated } from "../../texts.js";
import { table } from "../../ui.js";

/** @typedef {{ code: string, name: string, type: string }} Account */

/** @param {any} output */
export function accounts(output) {
  const rows = /** @type {Account[]} */ (output.accounts ?? []);
  if (rows.length === 0) return h("p", { class: "quiet" }, t("ui.none"));
  return table({
    caption: t("tools.list_ledger_accounts"), rows, class: "dense",
    columns: [
      { label: t("reports.code"), head: true, show: (each) => each.code },
      { label: t("reports.account"), show: (each) => translated("accounts", each.code, each.name) },
      { label: t("reports.type"), show: (each) => nameOf("reports.types", each.type) },
    ],
  });
}
