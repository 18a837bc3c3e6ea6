// @ts-check
// The settings: a part per subject, shown to whom it concerns.

import { account } from "../account.js";
import { h, replace } from "../dom.js";
import { link } from "../router.js";
import { t } from "../texts.js";
import { forbidden, header, tabs } from "../ui.js";
import { define, View } from "../view.js";
import { showAgency } from "./settings/agency.js";
import { showKeys } from "./settings/api-keys.js";
import { showPeople } from "./settings/people.js";
import { showProfile } from "./settings/profile.js";
import { showSecurity } from "./settings/security.js";
import { showTaxRates } from "./settings/tax-rates.js";

/** @typedef {(body: HTMLElement, signal: AbortSignal) => void} Show */
/** @type {[name: string, act: string, show: Show][]} */
const PARTS = [
  ["profile", "read", showProfile],
  ["security", "read", showSecurity],
  ["api_keys", "read", showKeys],
  ["agency", "administer", showAgency],
  ["tax_rates", "administer", showTaxRates],
  ["people", "administer", showPeople],
];
const OF_THE_AGENCY = new Set(["agency", "tax_rates"]);

class Settings extends View {
  show() {
    const parts = PARTS.filter(([name, act]) => account.may(act) && (account.agency !== null || !OF_THE_AGENCY.has(name)));
    const [name, , show] = parts.find(([each]) => each === this.route.id) ?? this.#refused() ?? parts[0];
    const body = h("div", { class: "stack" });
    const links = parts.map(([each]) => /** @type {[string, string]} */ ([link("settings", each), t(`settings.${each}`)]));
    replace(this, header(t("settings.title")), tabs(t("settings.parts"), links, link("settings", name)), body);
    show(body, this.signal);
  }

  /** The part of the address, if the role may not open it. @returns {[name: string, act: string, show: Show] | null} */
  #refused() {
    const found = PARTS.find(([each]) => each === this.route.id);
    return found && !account.may(found[1]) ? [found[0], found[1], (body) => replace(body, forbidden("administer"))] : null;
  }
}

define("vy-settings", Settings);
