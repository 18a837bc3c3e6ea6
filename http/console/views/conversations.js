// @ts-check
// The agency's conversations, and the way to one of them.

import { account } from "../account.js";
import { api } from "../api.js";
import { h, replace } from "../dom.js";
import { chosenIn, filters, latest } from "../filters.js";
import { dateTime, relative } from "../format.js";
import { anchor, link, note } from "../router.js";
import { t } from "../texts.js";
import { badge, button, empty, field, header, menu, pager } from "../ui.js";
import { define, View } from "../view.js";
import { remove, rename } from "./conversation-acts.js";
import { shownTitle } from "./conversation-title.js";
import "./conversation.js";
import "./new-conversation.js";

/** @typedef {{ id: string, title: string | null, created_at: string, message_count: number }} Listed */

class Conversations extends View {
  show() {
    this.routeChanged();
  }

  routeChanged() {
    const { id } = this.route;
    if (id === null) return this.#all();
    const view = /** @type {View} */ (document.createElement(id === "new" ? "vy-new-conversation" : "vy-conversation"));
    view.route = this.route;
    replace(this, view);
  }

  #all() {
    const next = latest(() => this.signal);
    const chosen = chosenIn(this.route.query, ["q"]);
    const list = h("div");
    const show = (/** @type {import("../filters.js").Chosen} */ { q = "" }) => {
      note(link("conversations", { q }));
      replace(list, this.#pages(q, next(), () => show({ q })));
    };
    replace(this, header(t("conversations.title"), { lead: t("conversations.lead"), actions: newLink() }), filters({
      name: t("conversations.title"),
      fields: [field({ name: "q", label: t("conversations.search"), type: "search", value: chosen.q, required: true, control: { autocomplete: "off", maxlength: 200 } })],
      change: show,
    }), list);
    show(chosen);
  }

  /** @param {string} q @param {AbortSignal} signal @param {() => void} again */
  #pages(q, signal, again) {
    const waiting = waitingApprovals(signal);
    return pager({
      read: async (offset, limit) => {
        const [{ sessions, total }, counts] = await Promise.all([api.get("/chat/sessions", { q, offset, limit }, { signal }), waiting]);
        return { items: sessions.map((/** @type {Listed} */ each) => ({ ...each, waiting: counts.get(each.id) ?? 0 })), total };
      },
      show: (/** @type {Listed & { waiting: number }} */ each) => row(each, again),
      list: h("ul", { class: "conversation-list" }),
      none: () => (q ? empty({ title: t("conversations.not_found", { q }), text: t("conversations.not_found_words") })
        : empty({ title: t("conversations.none"), text: t("conversations.none_words"), action: newLink() })),
      signal,
    });
  }
}

function newLink() {
  return account.may("write") && anchor(link("conversations", "new"), { class: "button primary" }, t("conversations.new"));
}

/** How many approvals wait, by conversation; none if they cannot be read. @param {AbortSignal} signal @returns {Promise<Map<string, number>>} */
async function waitingApprovals(signal) {
  const found = await api.get("/approvals", { status: "pending", limit: 500 }, { signal }).catch(() => ({ items: [] }));
  const counts = new Map();
  for (const { session_id: session } of found.items) counts.set(session, (counts.get(session) ?? 0) + 1);
  return counts;
}

/** @param {Listed & { waiting: number }} listed @param {() => void} again */
function row({ id, title, created_at: at, message_count: count, waiting }, again) {
  const shown = shownTitle(title);
  return h("li", { class: "conversation-row" },
    anchor(link("conversations", id), { class: "conversation-link" }, h("span", { class: "conversation-title" }, shown), waiting > 0 && badge(t("conversations.approvals_wait", { n: waiting }), "warn")),
    h("span", { class: "quiet small row-facts" }, h("time", { datetime: at, title: dateTime(at) }, relative(at)), h("span", null, t("conversations.messages", { n: count }))),
    account.may("write") && menu({ label: h("span", { "aria-hidden": "true" }, "⋯"), name: t("conversations.more_for", { title: shown }), items: [
      button(t("conversations.rename"), async () => (await rename(id, title)) !== null && again()),
      button(t("conversations.delete"), async () => (await remove(id, shown)) && again()),
    ] }));
}

define("vy-conversations", Conversations);
