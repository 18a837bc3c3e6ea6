// @ts-check
// The agency's tax rates, each from a day on.

import { api } from "../../api.js";
import { h, replace } from "../../dom.js";
import { date, number, today } from "../../format.js";
import { nameOf, t } from "../../texts.js";
import { button, dialog, empty, field, form, load, section, table, toast } from "../../ui.js";

const REGIMES = ["gst_india", "vat_uae", "vat_uk", "vat_eu", "gst_sg", "sst_my", "sales_tax_us"];
const SUPPLIES = ["standard", "tour_package", "zero_rated"];
const PERCENT = /^(\d{1,4})(?:[.,](\d{1,2}))?$/;

/** @param {HTMLElement} body @param {AbortSignal} signal */
export function showTaxRates(body, signal) {
  const list = h("div");
  const day = field({ name: "on", label: t("tax_rates.on"), hint: t("tax_rates.on_hint"), type: "date", value: today(), control: { on: { change: () => again() } } });
  const again = () => showList(list, day.querySelector("input")?.value ?? "", signal);
  replace(body, section(t("settings.tax_rates"), h("p", { class: "quiet" }, t("tax_rates.lead")),
    h("div", { class: "row between" }, h("div", { class: "slim" }, day), button(t("tax_rates.set"), () => set(again), { tone: "primary" })), list));
  again();
}

/** @param {HTMLElement} target @param {string} on @param {AbortSignal} signal */
function showList(target, on, signal) {
  load(target, () => api.get("/tax-rates", { on }, { signal }), ({ items }) => items.length === 0
    ? empty({ title: t("tax_rates.none"), text: t("tax_rates.lead") })
    : table({
      caption: t("settings.tax_rates"),
      rows: items,
      columns: [
        { label: t("tax_rates.code"), head: true, show: (row) => row.code },
        { label: t("tax_rates.regime"), show: (row) => nameOf("regimes", row.regime) },
        { label: t("tax_rates.jurisdiction"), show: (row) => row.jurisdiction ?? t("tax_rates.everywhere") },
        { label: t("tax_rates.supply"), show: (row) => nameOf("supplies", row.supply) },
        { label: t("tax_rates.holds_from"), show: (row) => date(row.holds_from) },
        { label: t("tax_rates.rate"), end: true, show: (row) => row.rate_bps === null ? t("tax_rates.ended") : `${number(row.rate_bps / 100)} %` },
      ],
    }), signal);
}

/** @param {() => void} done */
async function set(done) {
  const changed = await dialog({
    title: t("tax_rates.set"),
    content: (close) => form({
      label: t("ui.save"),
      cancel: () => close(null),
      submit: async (values) => close(await api.patch("/tax-rates", { rates: [rateOf(values)] })),
      fields: [
        field({ name: "regime", label: t("tax_rates.regime"), options: REGIMES.map((each) => [each, nameOf("regimes", each)]) }),
        h("div", { class: "row" },
          field({ name: "code", label: t("tax_rates.code"), required: true, hint: t("tax_rates.code_hint"), control: { pattern: "[A-Z0-9][A-Z0-9_\\-]{0,31}", title: t("tax_rates.code_hint") } }),
          field({ name: "jurisdiction", label: t("tax_rates.jurisdiction"), hint: t("tax_rates.jurisdiction_hint") })),
        field({ name: "supply", label: t("tax_rates.supply"), options: SUPPLIES.map((each) => [each, nameOf("supplies", each)]) }),
        h("div", { class: "row" },
          field({ name: "holds_from", label: t("tax_rates.holds_from"), type: "date", required: true, value: today() }),
          field({ name: "rate_bps", label: t("tax_rates.rate_percent"), hint: t("tax_rates.rate_hint"), control: { inputmode: "decimal", pattern: PERCENT.source.slice(1, -1), title: t("tax_rates.rate_hint") } })),
      ],
    }),
  });
  if (changed === null) return;
  toast(t("ui.saved"));
  done();
}

/** The rate as the API takes it: percent as basis points, empty as none. @param {any} values */
function rateOf({ rate_bps: rate, jurisdiction, ...rest }) {
  const [, whole, part = ""] = PERCENT.exec(rate.trim()) ?? [];
  return { ...rest, jurisdiction: jurisdiction.trim().toUpperCase() || null, rate_bps: whole === undefined ? null : Number(whole + part.padEnd(2, "0")) };
}
