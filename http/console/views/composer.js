// @ts-check
// Where messages are written: Enter sends, Shift+Enter makes a line, and what is not sent yet is kept over a reload. A
// screen keyboard has no such Shift: there Enter makes a line, and the button sends.

import { account } from "../account.js";
import { h, replace } from "../dom.js";
import { t } from "../texts.js";
import { button, id as newId } from "../ui.js";

/** @typedef {"queue" | "interrupt"} OnBusy */

const LONGEST = 32_000;
const TOUCH = matchMedia("(pointer: coarse) and (hover: none)");

/** @param {string} place */
function stored(place) {
  return `voyagent.draft.${account.user?.id}.${place}`;
}

export class Composer {
  #acts = h("div", { class: "actions" });
  #input;
  #key;
  #send;
  #running = false;

  /** @param {{ place: string, label: string, placeholder: string, send: (text: string, onBusy: OnBusy) => void, tools?: import("../dom.js").Child, focus?: boolean }} props `place` names the draft */
  constructor({ place, label, placeholder, send, tools, focus = false }) {
    const own = newId("message");
    this.#key = stored(place);
    this.#send = send;
    this.#input = h("textarea", { id: own, rows: 1, placeholder, focus, maxlength: LONGEST, value: localStorage.getItem(this.#key) ?? "", on: { keydown: (/** @type {KeyboardEvent} */ event) => this.#pressed(event), input: () => this.#keep() } });
    this.element = h("form", { class: "composer", on: { submit: (/** @type {Event} */ event) => { event.preventDefault(); this.#submit("queue"); } } },
      h("label", { for: own, class: "hidden-words" }, label), this.#input, h("div", { class: "composer-foot" }, tools ?? h("p", { class: "quiet small hint-keys" }, t("conversations.keys")), this.#acts));
    this.running(false, true);
  }

  /** While an answer is written a message is queued, or interrupts. @param {boolean} running @param {boolean} [first] */
  running(running, first = false) {
    if (running === this.#running && !first) return;
    this.#running = running;
    replace(this.#acts, running && button(t("conversations.interrupt"), () => this.#submit("interrupt"), { title: t("conversations.interrupt_words") }),
      h("button", { class: "button primary" }, t(running ? "conversations.queue" : "conversations.send")));
  }

  /** Puts words into the field, to be read and sent by a person. @param {string} text */
  propose(text) {
    const { value } = this.#input;
    this.#input.value = value.trim() === "" ? text : `${value.trimEnd()}\n${text}`;
    this.#keep();
    this.focus();
  }

  focus() {
    this.#input.focus();
    this.#input.setSelectionRange(this.#input.value.length, this.#input.value.length);
  }

  /** @param {KeyboardEvent} event */
  #pressed(event) {
    if (event.key !== "Enter" || event.shiftKey || event.isComposing || TOUCH.matches) return;
    event.preventDefault();
    this.#submit("queue");
  }

  #keep() {
    if (this.#input.value === "") localStorage.removeItem(this.#key);
    else localStorage.setItem(this.#key, this.#input.value);
  }

  /** @param {OnBusy} onBusy */
  #submit(onBusy) {
    const text = this.#input.value;
    if (text.trim() === "") return this.#input.focus();
    this.#input.value = "";
    this.#keep();
    if (this.#acts.contains(document.activeElement)) this.#input.focus();
    this.#send(text, onBusy);
  }
}
