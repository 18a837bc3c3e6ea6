// @ts-check
// Messages on their way: being sent, queued behind an answer, or not accepted.

import { account } from "../account.js";
import { randomKey } from "../api.js";
import { h, replace } from "../dom.js";
import { sentence, t } from "../texts.js";
import { button } from "../ui.js";
import { send } from "./sending.js";

/** @typedef {import("./composer.js").OnBusy} OnBusy */
/** @typedef {{ text: string, onBusy: OnBusy, key: string, element: HTMLElement, state: HTMLElement }} Own */

export class Outbox {
  element = h("div", { class: "outbox" });
  /** @type {Set<Own>} */
  #own = new Set();

  /** @param {{ session: string, signal: () => AbortSignal, taken: (turn: string, text: string) => void, edit: (text: string) => void }} hooks */
  constructor(hooks) {
    this.hooks = hooks;
  }

  /** @param {string} text @param {OnBusy} onBusy @returns {Promise<void>} */
  post(text, onBusy) {
    const state = h("p", { class: "message-state quiet small" });
    const element = h("div", { class: "message own" }, h("p", { class: "byline" }, h("span", { class: "author" }, t("conversations.you"))), h("div", { class: "said" }, text), state);
    const own = { text, onBusy, key: randomKey(), element, state };
    this.#own.add(own);
    this.element.append(element);
    return this.#deliver(own);
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
    replace(own.state, t("conversations.sending"));
    try {
      const event = await send(this.hooks.session, { message: own.text, on_busy: own.onBusy }, own.key, signal);
      if (event !== null) {
        this.#remove(own);
        this.hooks.taken(event.turn_id, own.text);
      } else replace(own.state, t("conversations.queued"));
    } catch (error) {
      if (!signal.aborted) this.#failed(own, error);
    }
  }

  /** @param {Own} own @param {unknown} error */
  #failed(own, error) {
    own.element.classList.add("failed");
    replace(own.state, h("span", { class: "error", role: "alert" }, sentence(error)), " ", button(t("ui.retry"), () => this.#deliver(own), { class: "compact" }),
      button(t("conversations.edit"), () => { this.#remove(own); this.hooks.edit(own.text); }, { class: "compact" }));
  }

  /** @param {Own} own */
  #remove(own) {
    this.#own.delete(own);
    own.element.remove();
  }
}

/** Whether a message of the transcript is the person's own. @param {string | null} user */
export function isOwn(user) {
  return user !== null && user === account.user?.id;
}
