// @ts-check
// The agency's conversations, and the way to one of them.

import { account } from "../account.js";
import { api } from "../api.js";
import { h, replace } from "../dom.js";
import { dateTime, relative } from "../format.js";
import { anchor, link, note } from "../router.js";
import { t } from "../texts.js";
import { badge, button, empty, header, id as newId, menu, pager } from "../ui.js";
import { define, View } from "../view.js";
import { remove, rename } from "./conversation-acts.js";
import "./conversation.js";
import "./new-conversation.js";

/** @typedef {{ id: string, title: string | null, created_at: string, message_count: number }} Listed */

const PAUSE_MS = 250;

class Conversations extends View {
  #list = h("div");
  #typed = 0;
  /** @type {Map<string, number>} */
  #waiting = new Map();

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
    const own = newId("search");
    const q = this.route.query.get("q") ?? "";
    const search = h("input", { id: own, type: "search", value: q, placeholder: t("conversations.search"), autocomplete: "off", maxlength: 200, on: { input: () => this.#searched(search.value) } });
    replace(this, header(t("conversations.title"), { lead: t("conversations.lead"), actions: account.may("write") && anchor(link("conversations", "new"), { class: "button primary" }, t("conversations.new")) }),
      h("search", { class: "search" }, h("label", { for: own, class: "hidden-words" }, t("conversations.search")), search), this.#list);
    this.#fill(q);
  }

  /** @param {string} q */
  #searched(q) {
    clearTimeout(this.#typed);
    this.#typed = setTimeout(() => {
      note(link("conversations", { q: q.trim() }));
      this.#fill(q.trim());
    }, PAUSE_MS);
  }

  /** @param {string} q */
  #fill(q) {
    const waiting = this.#count();
    replace(this.#list, pager({
      read: async (offset, limit) => {
        const [page] = await Promise.all([api.get("/chat/sessions", { q, offset, limit }, { signal: this.signal }), waiting]);
        return { items: page.sessions, total: page.total };
      },
      show: (each) => this.#row(each, q), list: h("ul", { class: "conversation-list" }), signal: this.signal,
      none: () => (q ? empty({ title: t("conversations.not_found", { q }), text: t("conversations.not_found_words") })
        : empty({ title: t("conversations.none"), text: t("conversations.none_words"), action: account.may("write") && anchor(link("conversations", "new"), { class: "button primary" }, t("conversations.new")) })),
    }));
  }

  /** Approvals that wait, by conversation. */
  async #count() {
    const found = await api.get("/approvals", { status: "pending", limit: 500 }, { signal: this.signal }).catch(() => ({ items: [] }));
    this.#waiting = new Map();
    for (const { session_id: session } of found.items) this.#waiting.set(session, (this.#waiting.get(session) ?? 0) + 1);
  }

  /** @param {Listed} listed @param {string} q */
  #row(listed, q) {
    const { id, created_at: at, message_count: count } = listed;
    const title = listed.title ?? t("conversations.untitled");
    const waiting = this.#waiting.get(id) ?? 0;
    return h("li", { class: "conversation-row" },
      anchor(link("conversations", id), { class: "conversation-link" }, h("span", { class: "conversation-title" }, title), waiting > 0 && badge(t("conversations.approvals_wait", { n: waiting }), "warn")),
      h("span", { class: "quiet small row-facts" }, h("time", { datetime: at, title: dateTime(at) }, relative(at)), h("span", null, t("conversations.messages", { n: count }))),
      account.may("write") && menu({ label: h("span", { "aria-hidden": "true" }, "⋯"), name: t("conversations.more_for", { title }), items: [
        button(t("conversations.rename"), async () => (await rename(id, listed.title)) !== null && this.#fill(q)),
        button(t("conversations.delete"), async () => (await remove(id, title)) && this.#fill(q)),
      ] }));
  }
}

define("vy-conversations", Conversations);
