// @ts-check
// The words of one answer as they grow: each frame adds to one text node, and a long answer goes on in a new one.

import { h } from "../dom.js";

const PARAGRAPH = 1_500;
const LONGEST = 6_000;

export class TextRun {
  element = h("div", { class: "said" });
  /** @type {Text[]} */
  #nodes = [];
  #pending = "";
  #length = 0;
  /** Where each event's words begin, as long as they can be taken back. @type {{ id: number, at: number }[]} */
  #marks = [];
  #restarted = false;

  /** @param {string} [text] */
  constructor(text = "") {
    this.#pending = text;
    this.write();
  }

  /** Keeps words for the next `write`. @param {number} id the event they came with @param {string} text */
  add(id, text) {
    const words = this.#restarted ? text.trimStart() : text;
    if (words === "") return;
    this.#restarted = false;
    this.#marks.push({ id, at: this.#length });
    this.#length += words.length;
    this.#pending += words;
  }

  /** Puts what was added on the page. */
  write() {
    if (this.#pending === "") return;
    const last = this.#nodes.at(-1);
    if (last === undefined) this.#open(this.#pending);
    else {
      last.appendData(this.#pending);
      if (last.length > PARAGRAPH) this.#divide(last);
    }
    this.#pending = "";
  }

  /** Takes back the words from an event on: they are said again. @param {number} id */
  takeBack(id) {
    this.write();
    const first = this.#marks.findIndex((mark) => mark.id >= id);
    if (first < 0) return;
    const { at } = this.#marks[first];
    let before = 0;
    for (const node of this.#nodes) {
      node.data = node.data.slice(0, Math.max(0, at - before));
      before += node.length;
    }
    this.#marks.length = first;
    this.#length = at;
    this.#restarted = true;
  }

  /** No more words come. Blank lines behind the last one would only be a gap. */
  close() {
    this.write();
    this.#marks = [];
    const last = this.#nodes.at(-1);
    if (last !== undefined) last.data = last.data.trimEnd();
  }

  get text() {
    return this.#nodes.map((node) => node.data).join("");
  }

  /** @param {string} text */
  #open(text) {
    const node = document.createTextNode(text);
    this.#nodes.push(node);
    this.element.append(h("div", { class: "paragraph" }, node));
  }

  /** Goes on in a new paragraph, so that the browser lays out a short text each time; nothing is lost between the two. @param {Text} node */
  #divide(node) {
    const { data } = node;
    const line = data.lastIndexOf("\n") + 1;
    if (line > 0 && line < data.length) {
      node.data = data.slice(0, line);
      this.#open(data.slice(line));
    } else if (line === data.length) this.#open("");
    else if (data.length > LONGEST) this.#break(node);
  }

  /** A paragraph of that length without a line is divided at a sentence, or a word. @param {Text} node */
  #break(node) {
    const { data } = node;
    const at = Math.max(data.lastIndexOf(". ") + 2, data.lastIndexOf(" ") > LONGEST / 2 && data.lastIndexOf(". ") < LONGEST / 2 ? data.lastIndexOf(" ") + 1 : 0);
    if (at <= 2 || at >= data.length) return;
    node.data = data.slice(0, at);
    this.#open(data.slice(at));
  }
}
