// @ts-check
// The agency's settings. Only what was changed is sent.

import { account } from "../../account.js";
import { api } from "../../api.js";
import { h, replace } from "../../dom.js";
import { locale, t } from "../../texts.js";
import { field, form, listed, load, section, toast } from "../../ui.js";

const NUMBERS = new Set(["rate_limit_per_minute", "rate_limit_per_hour", "daily_token_budget", "financial_year_start_month"]);
const CLEARED = new Set(["model", "system_prompt_suffix", "daily_token_budget"]);
const LANGUAGES = /** @type {[string, string][]} */ ([["en", "English"], ["hi", "हिन्दी"]]);

/** @param {HTMLElement} body @param {AbortSignal} signal */
export function showAgency(body, signal) {
  load(body, () => api.get("/tenant-settings", {}, { signal }), (settings) => fields(settings, () => showAgency(body, signal)), signal);
}

/** @param {any} settings @param {() => void} again */
function fields(settings, again) {
  const number = (/** @type {string} */ name, /** @type {boolean} */ required = true) => field({ name, label: t(`agency.${name}`), type: "number", value: settings[name], required, hint: required ? null : t("agency.no_budget"), control: { min: 1, step: 1, inputmode: "numeric" } });
  const series = (/** @type {string} */ name) => field({ name, label: t(`agency.${name}`), value: settings[name], required: true, control: { maxlength: 32, spellcheck: "false", class: "mono" } });
  return form({
    class: "agency",
    label: t("ui.save"),
    submit: async (values) => save(settings, values, again),
    fields: [
      section(t("agency.place"),
        field({ name: "locale", label: t("agency.locale"), options: LANGUAGES, value: settings.locale, hint: t("agency.locale_hint") }),
        listed(field({ name: "timezone", label: t("agency.timezone"), value: settings.timezone, required: true, control: { autocomplete: "off", spellcheck: "false" } }), Intl.supportedValuesOf("timeZone")),
        listed(field({ name: "default_currency", label: t("agency.default_currency"), value: settings.default_currency, required: true, control: { maxlength: 3, autocomplete: "off", spellcheck: "false" } }), Intl.supportedValuesOf("currency"))),
      section(t("agency.numbers"), h("p", { class: "quiet" }, t("agency.series_lead")),
        h("div", { class: "row" }, series("invoice_series"), series("bill_series"), series("credit_note_series")),
        field({ name: "financial_year_start_month", label: t("agency.financial_year_start_month"), options: months(), value: settings.financial_year_start_month })),
      section(t("agency.assistant"),
        field({ name: "model", label: t("agency.model"), value: settings.model, hint: t("agency.model_hint"), control: { spellcheck: "false" } }),
        field({ name: "system_prompt_suffix", label: t("agency.system_prompt_suffix"), rows: 5, value: settings.system_prompt_suffix, hint: t("agency.suffix_hint"), control: { maxlength: 10_000 } }),
        h("div", { class: "row" }, number("rate_limit_per_minute"), number("rate_limit_per_hour"), number("daily_token_budget", false))),
    ],
  });
}

/** @returns {[string, string][]} */
function months() {
  const format = new Intl.DateTimeFormat(locale(), { month: "long", timeZone: "UTC" });
  return Array.from({ length: 12 }, (_, month) => [String(month + 1), format.format(new Date(Date.UTC(2026, month, 1)))]);
}

/** @param {any} settings @param {Record<string, string>} values @param {() => void} again */
async function save(settings, values, again) {
  const changes = /** @type {Record<string, any>} */ ({});
  for (const [name, text] of Object.entries(values)) {
    const value = text === "" && CLEARED.has(name) ? null : NUMBERS.has(name) ? Number(text) : text;
    if (value !== settings[name]) changes[name] = value;
  }
  const translated = changes.locale !== undefined;
  await account.settle(await api.patch("/tenant-settings", changes));
  toast(t("ui.saved"));
  if (!translated) again();
}
