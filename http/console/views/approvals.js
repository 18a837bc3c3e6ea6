// @ts-check
// The inbox: what waits for a decision, the soonest to expire first, and what was decided.

import { api } from "../api.js";
import { h, replace } from "../dom.js";
import { dateTime, relative } from "../format.js";
import { anchor, link } from "../router.js";
import { nameOf, t } from "../texts.js";
import { empty, failure, header, pager, table, tableRow, tabs, unseen, waiting } from "../ui.js";
import { define, View } from "../view.js";
import { ApprovalCard, statusBadge } from "./cards/approval.js";
import { personName } from "./people.js";

/** @typedef {import("./cards/approval.js").Approval} Approval */

const POLL_SECONDS = 5;
const MOST = 200;
const DECIDED = ["granted", "rejected", "expired"];

class Approvals extends View {
  #cards = /** @type {Map<string, ApprovalCard>} */ (new Map());
  #list = h("div", { class: "requests" });
  #state = h("div");
  #count = h("p", { class: "hidden-words", role: "status" });

  show() {
    const asked = this.route.query.get("status") ?? "pending";
    const status = [...DECIDED, "all"].includes(asked) ? asked : "pending";
    const session = this.route.query.get("session");
    replace(this, header(t("approvals.title"), { lead: t("approvals.lead") }), partTabs(status, session),
      session && h("p", null, t("approvals.of_one"), " ", anchor(link("approvals", { status }), null, t("approvals.of_all"))),
      status === "pending" ? this.#inbox(session) : decided(status, session, this.signal));
  }

  /** @param {string | null} session */
  #inbox(session) {
    this.#cards.clear();
    replace(this.#list);
    replace(this.#state, waiting());
    this.#read(session);
    this.every(POLL_SECONDS, () => this.#read(session));
    this.every(1, () => this.#cards.forEach((card) => card.tick()));
    this.listen(document, "visibilitychange", () => document.visibilityState === "visible" && this.#read(session));
    return h("div", null, this.#count, this.#state, this.#list);
  }

  /** @param {string | null} session */
  async #read(session) {
    try {
      const page = await api.get("/approvals", { status: "pending", session_id: session, limit: MOST }, { signal: this.signal });
      if (!this.signal.aborted) this.#merge(page);
    } catch (error) {
      if (!this.signal.aborted) replace(this.#state, failure(error, () => this.#read(session)));
    }
  }

  /** Keeps the cards that are there, since somebody may be writing a reason. @param {{ items: Approval[], total: number }} page */
  #merge({ items, total }) {
    const pending = items.toSorted((one, other) => String(one.expires_at ?? "~").localeCompare(String(other.expires_at ?? "~")));
    const ids = new Set(pending.map(({ id }) => id));
    for (const [id, card] of this.#cards) if (!ids.has(id) && card.pending) card.read();
    const fresh = pending.filter(({ id }) => !this.#cards.has(id));
    for (const item of fresh) this.#add(item);
    if (fresh.length > 0) {
      this.#count.textContent = t("app.approvals_waiting", { n: total });
      dispatchEvent(new Event("vy-approvals"));
    }
    replace(this.#state, this.#cards.size === 0 && empty({ title: t("approvals.none"), text: t("approvals.none_text"), action: anchor(link("approvals", { status: "all" }), null, t("approvals.see_decided")) }),
      total > items.length && h("p", { class: "quiet" }, t("approvals.more", { shown: items.length, total })));
  }

  /** @param {Approval} item */
  #add(item) {
    const { tool_name: tool, session_id: session, requested_at: at } = item;
    const card = new ApprovalCard(item, {
      heading: h("h2", null, nameOf("tools", tool)),
      more: h("p", { class: "small quiet" }, t("approvals.asked", { when: relative(at) }), " · ", anchor(link("conversations", session), null, t("approvals.conversation"), unseen([" ", nameOf("tools", tool)]))),
    });
    const later = [...this.#cards.values()].find((each) => each.until > card.until);
    this.#cards.set(item.id, card);
    if (later) later.element.before(card.element);
    else this.#list.append(card.element);
  }
}

/** @param {string} status @param {string | null} session */
function partTabs(status, session) {
  const links = /** @type {[string, string][]} */ (["pending", ...DECIDED, "all"].map((each) => [link("approvals", { status: each === "pending" ? null : each, session }), t(`approvals.status.${each}`)]));
  return tabs(t("approvals.parts"), links, link("approvals", { status: status === "pending" ? null : status, session }));
}

/** @param {string} status @param {string | null} session @param {AbortSignal} signal */
function decided(status, session, signal) {
  const columns = [
    { label: t("approvals.what"), head: true, show: (/** @type {Approval} */ each) => h("div", null, nameOf("tools", each.tool_name), h("p", { class: "summary small quiet" }, each.summary)) },
    { label: t("approvals.outcome"), show: (/** @type {Approval} */ each) => statusBadge(each.status) },
    { label: t("approvals.decided_at"), show: (/** @type {Approval} */ each) => each.resolved_at === null ? "–" : [h("div", { class: "nowrap" }, dateTime(each.resolved_at)), by(each)] },
    { label: t("approvals.reason"), show: (/** @type {Approval} */ each) => each.reason ?? "–" },
    { label: t("approvals.conversation"), show: (/** @type {Approval} */ each) => anchor(link("conversations", each.session_id), null, t("approvals.open"), unseen([" ", nameOf("tools", each.tool_name)])) },
  ];
  return pager({
    read: (offset, limit) => api.get("/approvals", { status, session_id: session, limit, offset }, { signal }),
    show: (/** @type {Approval} */ each) => tableRow(columns, each),
    list: table({ class: "told", caption: t("approvals.title"), columns, rows: /** @type {Approval[]} */ ([]) }),
    none: () => empty({ title: t("approvals.none_decided"), text: t("approvals.none_decided_text") }),
    signal,
  });
}

/** @param {Approval} approval */
function by({ resolved_by_user_id: who }) {
  const name = h("div", { class: "small quiet" });
  if (who !== null) personName(who).then((found) => { name.textContent = found; });
  return name;
}

define("vy-approvals", Approvals);
