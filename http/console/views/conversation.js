// @ts-check
// One conversation: its transcript, its events as they come, and the field to write in.

import { account } from "../account.js";
import { api, Problem } from "../api.js";
import { h, replace } from "../dom.js";
import { anchor, go, link } from "../router.js";
import { EventStream } from "../stream.js";
import { sentence, t } from "../texts.js";
import { absence, button, empty, failure, header, load, menu, toast, waiting } from "../ui.js";
import { define, View } from "../view.js";
import { Composer } from "./composer.js";
import { remove, rename } from "./conversation-acts.js";
import { shownTitle } from "./conversation-title.js";
import { first } from "./new-conversation.js";
import { isOwn, Outbox } from "./outbox.js";
import { Transcript } from "./transcript.js";

/** @typedef {import("./transcript.js").Item} Item */
/** @typedef {{ items: Item[], failures: import("./transcript.js").Failure[], total: number, next_before: string | null, last_event_id: number }} Page */
/** @typedef {{ title: string | null, running_turn_id: string | null }} Summary */

const PAGE = 50;
const NEAR_PX = 120;
const ANNOUNCED = 600;
const READ_MS = 20_000;
const LOOKS = 3;
const SIGHT = { rootMargin: "0px 0px -120px 0px", threshold: 0.5 }; // above the foot
const SHORT_MS = 1_000; // a connection is made within it, or it is said that there is none

class Conversation extends View {
  /** @type {EventStream | null} */
  #stream = null;
  #transcript = this.#newTranscript();
  /** @type {Outbox | null} */
  #outbox = null;
  /** @type {Composer | null} */
  #composer = null;
  /** What is known of it; null until it is read. @type {Summary | null} */
  #summary = null;
  #running = false;
  /** The turn of the newest event, which a stop means. @type {string | null} */
  #turn = null;
  #stopping = false;
  #follows = true;
  #announced = 0;
  #broken = 0;
  /** Turns whose message is not on the page yet, and how often it will be looked for in a transcript that lacks it. @type {Map<string, number>} */
  #unread = new Map();
  #head = h("div");
  #acts = h("div");
  #older = h("div", { class: "older" });
  #body = h("div", { class: "conversation-body" });
  #working = h("p", { class: "working", hidden: true });
  #waiting = h("div", { class: "waiting-approvals", hidden: true });
  #sight = new IntersectionObserver((seen) => { this.#waiting.hidden = seen[seen.length - 1].isIntersecting; }, SIGHT);
  #link = h("p", { class: "connection", role: "status", hidden: true });
  #newest = button(t("conversations.newest"), () => this.#toEnd(), { class: "to-newest", hidden: true });
  #live = h("p", { class: "hidden-words", role: "status", "aria-live": "polite" });

  get #id() {
    return this.route.id ?? "";
  }

  show() {
    const canWrite = account.may("write");
    this.#outbox = new Outbox({ session: this.#id, signal: () => this.signal, taken: (turn, text) => this.#taken(turn, text), edit: (text) => this.#composer?.propose(text), running: () => this.#running });
    this.#composer = canWrite ? new Composer({
      place: this.#id, label: t("conversations.message"), placeholder: t("conversations.placeholder"), send: (text, onBusy) => this.#say(text, onBusy),
    }) : null;
    replace(this, this.#head, this.#body, h("div", { class: "conversation-foot" }, this.#newest, this.#waiting, this.#link,
      this.#composer?.element ?? h("p", { class: "quiet" }, t("conversations.read_only"))), this.#live);
    this.listen(window, "scroll", () => this.#scrolled());
    this.listen(window, "online", () => this.#outbox?.online());
    this.every(1, () => this.#transcript.tick());
    this.every(3, () => [...this.#unread.keys()].forEach((turn) => this.#newTurn(turn)));
    this.#headline();
    this.#begin();
  }

  disconnectedCallback() {
    super.disconnectedCallback();
    clearTimeout(this.#broken);
    this.#sight.disconnect();
    this.#stream?.close();
  }

  /** Reads the conversation and follows it; again from the start if events are missing. */
  async #begin() {
    this.#stream?.close();
    this.#body.setAttribute("aria-busy", "true");
    const busy = setTimeout(() => this.#body.childElementCount === 0 && replace(this.#body, waiting()), 200);
    try {
      const [summary, page, approvals] = await this.#read();
      if (!this.signal.aborted) this.#filled(summary, page, approvals);
    } catch (error) {
      if (!this.signal.aborted) this.#failed(error);
    } finally {
      clearTimeout(busy);
      this.#body.removeAttribute("aria-busy");
    }
  }

  /** A conversation that cannot be opened has nothing to write in, either. @param {unknown} error */
  #failed(error) {
    const shown = failure(error, () => this.#begin());
    replace(this.#body, shown);
    if (error instanceof Problem && !error.passing) replace(this, h("div", null, this.#back(), absence(t("conversations.absent"))), this.#body);
  }

  /** @returns {Promise<[Summary, Page, any[]]>} */
  async #read() {
    const { signal } = this;
    const path = `/chat/sessions/${this.#id}`;
    const [summary, page] = await Promise.all([api.get(path, {}, { signal }), api.get(`${path}/messages`, { limit: PAGE }, { signal })]);
    const approvals = await api.get("/approvals", { session_id: this.#id, status: "all", limit: 500 }, { signal });
    return [summary, page, approvals.items];
  }

  /** @param {Summary} summary @param {Page} page @param {any[]} approvals */
  #filled(summary, page, approvals) {
    this.#summary = summary;
    this.#transcript = this.#newTranscript();
    this.#transcript.fill(page.items, page.failures);
    this.#transcript.know(approvals);
    if (page.next_before === null) this.#transcript.showStray();
    this.#showOlder(page.next_before);
    this.#turn = summary.running_turn_id;
    this.#run(summary.running_turn_id !== null);
    if (!this.#running) this.#transcript.settle();
    this.#layOut();
    this.#headline();
    this.#approvals();
    this.#toEnd();
    this.#stream = new EventStream({
      session: this.#id, cursor: page.last_event_id, deliver: (arrivals) => this.#took(arrivals), changed: (state) => this.#connection(state),
      gap: () => this.#begin(), idle: () => !this.#running,
    });
    this.#stream.open();
    const begun = first.take(this.#id);
    if (begun !== null) this.#say(begun, "queue");
    else if (this.#outbox?.isEmpty) this.#restore();
  }

  #restore() {
    this.#outbox?.restore();
    this.#layOut();
    this.#toEnd();
  }

  #newTranscript() {
    return new Transcript({
      choose: account.may("write") ? (text) => this.#composer?.propose(text) : null, turn: (id) => this.#newTurn(id),
      passed: (said, failed) => this.#passed(said, failed), approval: (card) => this.#asked(card),
    });
  }

  #layOut() {
    const nothing = this.#transcript.isEmpty && this.#outbox?.isEmpty;
    replace(this.#body, this.#older, nothing ? empty({ title: t("conversations.empty"), text: t("conversations.empty_words") }) : null, this.#transcript.element, this.#outbox?.element, this.#working);
  }

  /** @param {import("../stream.js").Arrival[]} arrivals */
  #took(arrivals) {
    const newest = arrivals[arrivals.length - 1].event;
    this.#turn = newest.turn_id;
    this.#run(newest.kind !== "final");
    if (this.#body.querySelector(":scope > .empty")) this.#layOut();
    this.#transcript.take(arrivals);
    if (this.#follows) this.#toEnd();
    else this.#newest.hidden = false;
  }

  /** @param {string} text @param {import("./composer.js").OnBusy} onBusy */
  #say(text, onBusy) {
    const sending = this.#outbox?.post(text, onBusy);
    this.#layOut();
    this.#toEnd();
    return sending;
  }

  /** The service took a message: its answer is under way. @param {string} turn @param {string} text */
  #taken(turn, text) {
    this.#transcript.said(turn, text, account.user?.id ?? null, new Date().toISOString());
    this.#layOut();
    if (this.#follows) this.#toEnd();
  }

  /** Somebody's message has begun a turn: events do not carry it. It is looked for until it is found. @param {string} turn */
  async #newTurn(turn) {
    this.#unread.set(turn, (this.#unread.get(turn) ?? LOOKS) - 1);
    const page = /** @type {Page | null} */ (await api.get(`/chat/sessions/${this.#id}/messages`, { limit: PAGE }, { signal: this.signal }).catch(() => null));
    const item = page?.items.find((each) => each.turn_id === turn && each.role === "user");
    if (item !== undefined || page !== null && (this.#unread.get(turn) ?? 0) <= 0) this.#unread.delete(turn);
    if (item === undefined || this.#transcript.hasMessage(turn)) return;
    const text = item.content.map((block) => (block.type === "text" ? block.text : "")).join("");
    if (isOwn(item.user_id)) this.#outbox?.arrived(text);
    this.#transcript.said(turn, text, item.user_id, item.created_at);
    if (this.#follows) this.#toEnd();
  }

  /** @param {string} said @param {boolean} failed */
  #passed(said, failed) {
    this.#transcript.settle();
    const words = said.length > ANNOUNCED ? `${said.slice(0, ANNOUNCED)}…` : said;
    this.#announce(failed ? words : `${t("conversations.agent")}: ${words}`);
    if (this.#summary?.title === null) this.#reread();
  }

  /** Says something to screen readers once; words on their way are not read out one by one. @param {string} text */
  #announce(text) {
    clearTimeout(this.#announced);
    this.#live.textContent = text;
    this.#announced = setTimeout(() => { this.#live.textContent = ""; }, READ_MS);
  }

  async #reread() {
    const summary = await api.get(`/chat/sessions/${this.#id}`, {}, { signal: this.signal }).catch(() => null);
    if (summary === null) return;
    this.#summary = summary;
    this.#headline();
  }

  /** @param {import("./cards/approval.js").ApprovalCard} card */
  #asked(card) {
    if (card.pending) this.#announce(`${t("conversations.approval_needed")}: ${card.approval.summary}`);
    this.#approvals();
    dispatchEvent(new Event("vy-approvals"));
  }

  /** Points to the first approval that waits while it is out of sight. */
  #approvals() {
    const { pending } = this.#transcript;
    this.#sight.disconnect();
    this.#waiting.hidden = true;
    if (pending.length === 0) return;
    this.#sight.observe(pending[0].element);
    replace(this.#waiting, t("conversations.approvals_wait", { n: pending.length }), button(t("conversations.show"), () => {
      pending[0].element.scrollIntoView({ block: "center" });
      pending[0].element.focus({ preventScroll: true });
    }, { class: "compact" }));
  }

  /** @param {boolean} running */
  #run(running) {
    if (running === this.#running) return;
    this.#running = running;
    this.#stopping = false;
    this.#composer?.running(running);
    this.#working.hidden = !running;
    replace(this.#working, h("span", { class: "dots", "aria-hidden": "true" }), t("conversations.answering"),
      account.may("write") && button(t("conversations.stop"), () => this.#stop(), { class: "compact" }));
  }

  async #stop() {
    if (this.#stopping) return;
    this.#stopping = true;
    try {
      await api.post(`/chat/sessions/${this.#id}/cancel`, { turn_id: this.#turn });
    } catch (error) {
      this.#stopping = false;
      toast(sentence(error), "bad");
    }
  }

  /** The title and what can be done; its heading stays the same element, which may have the focus. */
  #headline() {
    const title = this.#summary === null ? t("ui.loading") : shownTitle(this.#summary.title);
    const focused = this.#acts.contains(document.activeElement);
    document.title = `${title} · Voyagent`;
    if (this.#head.childElementCount === 0) replace(this.#head, this.#back(), header(title, { actions: this.#acts }));
    replace(/** @type {HTMLElement} */ (this.#head.querySelector("h1")), title);
    replace(this.#acts, this.#summary !== null && menu({ label: [t("conversations.more"), h("span", { "aria-hidden": "true" }, "▾")], name: t("conversations.more_for", { title }), items: [
      anchor(link("itinerary", this.#id), null, t("itinerary.title")),
      account.may("write") && button(t("conversations.rename"), () => this.#rename()),
      account.may("write") && button(t("conversations.delete"), () => this.#remove()),
    ] }));
    if (focused) this.#acts.querySelector("button")?.focus({ preventScroll: true });
  }

  #back() {
    return h("p", { class: "back" }, anchor(link("conversations"), null, t("conversations.all")));
  }

  async #rename() {
    const title = await rename(this.#id, this.#summary?.title ?? null);
    if (title === null || this.#summary === null) return;
    this.#summary.title = title;
    this.#headline();
  }

  async #remove() {
    if (await remove(this.#id, shownTitle(this.#summary?.title)) && this.isConnected) go(link("conversations"), { replace: true });
  }

  /** @param {import("../stream.js").State} state */
  #connection(state) {
    this.dataset.stream = state;
    clearTimeout(this.#broken);
    if (state === "gone") {
      this.#unconnected(t("conversations.deleted"));
      this.#run(false);
      this.#composer?.element.remove();
    } else if (state === "live" || state === "resting") this.#link.hidden = true;
    else if (state === "waiting") this.#unconnected(t(navigator.onLine ? "conversations.reconnecting" : "conversations.offline"));
    else if (this.#link.hidden) this.#broken = setTimeout(() => this.#unconnected(t("conversations.connecting")), SHORT_MS);
  }

  /** Says why no events come, until they do. @param {string} why */
  #unconnected(why) {
    this.#link.textContent = why;
    this.#link.hidden = false;
  }

  /** @param {string | null} before */
  #showOlder(before) {
    replace(this.#older, before && button(t("conversations.earlier"), () => this.#readOlder(before)));
  }

  /** @param {string} before */
  async #readOlder(before) {
    await load(this.#older, () => api.get(`/chat/sessions/${this.#id}/messages`, { limit: PAGE, before }, { signal: this.signal }), (/** @type {Page} */ page) => {
      const height = document.documentElement.scrollHeight;
      this.#transcript.prepend(page.items, page.failures);
      if (page.next_before === null) this.#transcript.showStray();
      queueMicrotask(() => {
        this.#showOlder(page.next_before);
        scrollBy(0, document.documentElement.scrollHeight - height);
      });
      return null;
    }, this.signal);
  }

  #scrolled() {
    const { scrollHeight, clientHeight } = document.documentElement;
    this.#follows = scrollHeight - clientHeight - scrollY < NEAR_PX;
    if (this.#follows) this.#newest.hidden = true;
  }

  #toEnd() {
    this.#follows = true;
    this.#newest.hidden = true;
    scrollTo(0, document.documentElement.scrollHeight);
  }
}

define("vy-conversation", Conversation);
