// @ts-check
// Messages on their way: being sent, queued behind an answer, or not accepted. What the service has not answered yet is
// kept over a reload, with the key that makes a repetition the same message; what it refused is kept for the person to send.

import { account } from "../account.js";
import { Problem, randomKey } from "../api.js";
import { h, replace } from "../dom.js";
import { sentence, t } from "../texts.js";
import { button } from "../ui.js";
import { send } from "./sending.js";

/** @typedef {import("./composer.js").OnBusy} OnBusy */
/** @typedef {{ text: string, onBusy: OnBusy, key: string, at: number, refused?: boolean }} Kept */
/** @typedef {Kept & { element: HTMLElement, state: HTMLElement, offline: boolean }} Own */

const KEPT_MS = 12 * 3_600_000; // the service knows a key for a day

export class Outbox {
  element = h("div", { class: "outbox" });
  /** @type {Set<Own>} */
  #own = new Set();

  /** @param {{ session: string, signal: () => AbortSignal, taken: (turn: string, text: string) => void, edit: (text: string) => void, running: () => boolean }} hooks */
  constructor(hooks) {
    this.hooks = hooks;
  }

  /** @param {string} text @param {OnBusy} onBusy @returns {Promise<void>} */
  post(text, onBusy) {
    const kept = { text, onBusy, key: randomKey(), at: Date.now() };
    this.#keep(kept);
    return this.#deliver(this.#show(kept));
  }

  /** Sends what was left unsent here, by a reload or on the way to another view. What was refused, or is too old to be sent unseen, is proposed. */
  async restore() {
    const places = Object.keys(localStorage).filter((place) => place.startsWith(this.#place("")));
    const kept = places.map((place) => /** @type {Kept} */ (JSON.parse(localStorage.getItem(place) ?? ""))).sort((one, other) => one.at - other.at);
    const isDue = (/** @type {Kept} */ { at, refused }) => !refused && Date.now() - at < KEPT_MS;
    for (const { key, text } of kept.filter((each) => !isDue(each))) {
      localStorage.removeItem(this.#place(key));
      this.hooks.edit(text);
    }
    for (const own of kept.filter(isDue).map((each) => this.#show(each))) await this.#deliver(own);
  }

  /** There is a network again: sends what could not be sent without, in its order. */
  async online() {
    for (const own of [...this.#own].filter(({ offline }) => offline)) await this.#deliver(own);
  }

  /** @param {Kept} kept */
  #show(kept) {
    const state = h("p", { class: "message-state quiet small" });
    const element = h("div", { class: "message own" }, h("p", { class: "byline" }, h("span", { class: "author" }, t("conversations.you"))), h("div", { class: "said" }, kept.text), state);
    const own = { ...kept, element, state, offline: false };
    this.#own.add(own);
    this.element.append(element);
    return own;
  }

  /** Takes a message of the person out that is in the transcript by now. @param {string} text */
  arrived(text) {
    const own = [...this.#own].find((each) => each.text === text && !each.element.classList.contains("failed"));
    if (own) this.#remove(own);
  }

  get isEmpty() {
    return this.#own.size === 0;
  }

  /** @param {Own} own */
  async #deliver(own) {
    const signal = this.hooks.signal();
    own.element.classList.remove("failed");
    own.offline = false;
    replace(own.state, t("conversations.sending"));
    try {
      const event = await send(this.hooks.session, { message: own.text, on_busy: own.onBusy }, own.key, signal);
      localStorage.removeItem(this.#place(own.key));
      if (event !== null) {
        this.#remove(own);
        this.hooks.taken(event.turn_id, own.text);
      } else replace(own.state, t(this.hooks.running() ? "conversations.queued" : "conversations.sent"));
    } catch (error) {
      if (!signal.aborted) this.#failed(own, error);
    }
  }

  /** @param {Own} own @param {unknown} error */
  #failed(own, error) {
    own.element.classList.add("failed");
    own.offline = error instanceof Problem && error.status === 0 && !navigator.onLine;
    if (error instanceof Problem && (!error.passing || error.status === 429)) this.#keep(own, true);
    replace(own.state, h("span", { class: "error", role: "alert" }, own.offline ? t("conversations.unsent") : sentence(error)), " ", button(t("ui.retry"), () => this.#deliver(own), { class: "compact" }),
      button(t("conversations.edit"), () => { this.#remove(own); this.hooks.edit(own.text); }, { class: "compact" }));
  }

  /** @param {Kept} own @param {boolean} [refused] */
  #keep({ text, onBusy, key, at }, refused = false) {
    localStorage.setItem(this.#place(key), JSON.stringify({ text, onBusy, key, at, refused }));
  }

  /** @param {string} key */
  #place(key) {
    return `voyagent.unsent.${account.user?.id}.${this.hooks.session}.${key}`;
  }

  /** @param {Own} own */
  #remove(own) {
    localStorage.removeItem(this.#place(own.key));
    this.#own.delete(own);
    own.element.remove();
  }
}

/** Whether a message of the transcript is the person's own. @param {string | null} user */
export function isOwn(user) {
  return user !== null && user === account.user?.id;
}
