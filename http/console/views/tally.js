// @ts-check
// The books as files for TallyPrime: ledgers and vouchers of any days, one currency a file.

import { api } from "../api.js";
import { h, replace } from "../dom.js";
import { chosenIn, filters } from "../filters.js";
import { place, today } from "../format.js";
import { link, note } from "../router.js";
import { t } from "../texts.js";
import { busy, button, field, id, listed, section } from "../ui.js";
import { balances } from "./trial-balance.js";

const OTHERS = "X-Voyagent-Other-Currencies";
const BEGINNING = 65_536; // bytes; the first voucher is within them

/** @param {import("../view.js").View} view */
export function tally(view) {
  const usual = { from: `${today().slice(0, 7)}-01`, to: today(), currency: place().currency };
  let chosen = chosenIn(view.route.query, ["from", "to", "currency"]);
  const others = h("p", { role: "status" });
  const download = (/** @type {"ledgers" | "vouchers"} */ what) => {
    const pressed = button(t(`reports.tally.${what}`), () => busy(pressed, async () => {
      replace(others);
      const { from, to, currency } = { ...usual, ...chosen };
      const code = currency.toUpperCase();
      const { headers, file } = await api.download(`/reports/tally/${what}`, { from, to, currency: code }, `tally-${what}-${code}-${from}-${to}.xml`);
      const left = headers.get(OTHERS);
      const isEmpty = what === "vouchers" && !(await file.slice(0, BEGINNING).text()).includes("<VOUCHER ");
      replace(others, [isEmpty && t("reports.tally.empty", { currency: code }), left && t("reports.tally.others", { currencies: left })].filter(Boolean).join(" "));
    }), { tone: "primary" });
    return pressed;
  };
  const day = (/** @type {"from" | "to"} */ name) => field({ name, label: t(`reports.tally.${name}`), type: "date", value: chosen[name] ?? usual[name], required: true, control: { "data-none": usual[name] } });
  const known = h("p", { class: "quiet", id: id("currencies"), hidden: true });
  const currency = field({ name: "currency", label: t("reports.tally.currency"), value: chosen.currency ?? usual.currency, required: true, control: { "data-none": usual.currency, "aria-describedby": known.id, maxlength: 3, autocomplete: "off", spellcheck: "false" } });
  offer(currency, known, view.signal);
  return [
    filters({
      name: t("reports.filters"),
      fields: [day("from"), day("to"), currency],
      change: (values) => {
        chosen = values;
        replace(others);
        note(link("reports", "tally", values));
      },
    }),
    known,
    h("div", { class: "row" }, download("ledgers"), download("vouchers")),
    others,
    section(t("reports.tally.steps"),
      h("ol", { class: "steps" }, ["first", "second"].map((step) => h("li", null, t(`reports.tally.${step}`)))),
      ["again", "one_currency"].map((said) => h("p", { class: "quiet" }, t(`reports.tally.${said}`)))),
  ];
}

/** Offers the currencies of the books, and names them; without an answer any can be entered all the same. @param {HTMLElement} field @param {HTMLElement} known @param {AbortSignal} signal */
async function offer(field, known, signal) {
  const report = await api.get("/reports/trial-balance", {}, { signal }).catch(() => null);
  const currencies = report === null ? [] : balances(report).map((each) => each.currency);
  if (currencies.length === 0) return;
  listed(field, currencies);
  known.hidden = false;
  known.textContent = t("reports.tally.books", { currencies: currencies.join(", ") });
}
