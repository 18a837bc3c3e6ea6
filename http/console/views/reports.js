// @ts-check
// The reports: what is owed to the agency and by it, its accounts, and what its agent used.

import { account } from "../account.js";
import { h, replace } from "../dom.js";
import { link } from "../router.js";
import { t } from "../texts.js";
import { forbidden, header, tabs } from "../ui.js";
import { define, View } from "../view.js";
import { aging } from "./aging.js";
import { openDocuments } from "./open-documents.js";
import { tally } from "./tally.js";
import { trialBalance } from "./trial-balance.js";
import { usage } from "./usage.js";

/** Each fills the view below the tabs; `tools` is beside the title. @type {Record<string, (view: View, tools: Element) => import("../dom.js").Child>} */
const PARTS = {
  receivables: (view, tools) => aging(view, tools, "receivables"),
  payables: (view, tools) => aging(view, tools, "payables"),
  "trial-balance": trialBalance,
  tally,
  usage,
};

class Reports extends View {
  show() {
    const [asked = "receivables", detail] = this.route.parts;
    const names = Object.keys(PARTS).filter((name) => name !== "usage" || account.may("usage"));
    const refused = asked === "usage" && !account.may("usage");
    if (detail !== undefined && (asked === "receivables" || asked === "payables")) return openDocuments(this, asked);
    const links = names.map((name) => /** @type {[string, string]} */ ([link("reports", name), t(`reports.parts.${name.replace("-", "_")}`)]));
    const tools = h("div");
    replace(this, header(t("reports.title"), { paper: t(`reports.parts.${asked.replace("-", "_")}`), lead: t(`reports.leads.${asked.replace("-", "_")}`), actions: tools }), tabs(t("reports.title"), links, link("reports", asked)),
      h("div", { class: "stack report" }, refused ? forbidden("usage") : PARTS[asked](this, tools)));
  }
}

define("vy-reports", Reports);
