// @ts-check
// The board: a column for each state. A card is moved by its menu, or by dragging it.

import { account } from "../account.js";
import { api } from "../api.js";
import { append, h, replace } from "../dom.js";
import { number } from "../format.js";
import { sentence, t } from "../texts.js";
import { pager, toast } from "../ui.js";
import { move, moveMenu, onward, queryOf, STATES, summary } from "./enquiry.js";

/** @typedef {import("./enquiry.js").Enquiry} Enquiry */

const LIMIT = 20;

/**
 * @param {import("../filters.js").Chosen} values @param {AbortSignal} signal @param {() => import("../dom.js").Child} none
 */
export function board(values, signal, none) {
  const whole = h("div", { class: "board", role: "region", "aria-label": t("enquiries.board"), tabindex: 0 });
  const columns = new Map(STATES.map((status) => [status, new Column(status, values, signal, { moved, counted })]));
  /** Cards on their way: they are moved once. @type {Set<string>} */
  const moving = new Set();
  /** @type {Enquiry | null} */
  let dragged = null;

  function counted() {
    const counts = [...columns.values()].map((each) => each.total);
    if (counts.every((each) => each === 0)) replace(whole, none());
  }
  /** @param {Enquiry} enquiry @param {string} status */
  async function moved(enquiry, status) {
    if (moving.has(enquiry.id)) return;
    moving.add(enquiry.id);
    const after = await move(enquiry, status).finally(() => moving.delete(enquiry.id));
    const card = columns.get(status)?.add(after);
    columns.get(enquiry.status)?.remove(enquiry.id);
    card?.querySelector("a")?.focus();
    toast(t("enquiries.moved", { name: after.customer_name, status: t(`enquiries.status.${status}`) }));
  }
  for (const [status, column] of columns) {
    column.element.addEventListener("dragstart", (event) => {
      dragged = column.enquiryOf(/** @type {Element} */ (event.target));
      if (event.dataTransfer) event.dataTransfer.effectAllowed = "move";
    });
    const accepts = () => dragged !== null && onward(dragged.status).includes(status);
    column.element.addEventListener("dragover", (event) => {
      column.element.classList.toggle("over", accepts());
      if (accepts()) event.preventDefault();
    });
    for (const type of ["dragleave", "dragend", "drop"]) column.element.addEventListener(type, () => column.element.classList.remove("over"));
    column.element.addEventListener("drop", (event) => {
      event.preventDefault();
      if (dragged !== null && accepts()) moved(dragged, status).catch((error) => toast(sentence(error), "bad"));
      dragged = null;
    });
  }
  replace(whole, [...columns.values()].map((each) => each.element));
  return whole;
}

class Column {
  total = -1;
  #list = h("div", { class: "column-list" });
  #count = h("span", { class: "quiet" });
  #enquiries = /** @type {Map<string, Enquiry>} */ (new Map());
  /** How many were moved here less how many were moved away, so that the next page begins where the last ended. */
  #moved = 0;
  #hooks;

  /** @param {string} status @param {import("../filters.js").Chosen} values @param {AbortSignal} signal @param {{ moved: (enquiry: Enquiry, status: string) => Promise<void>, counted: () => void }} hooks */
  constructor(status, values, signal, hooks) {
    this.#hooks = hooks;
    const read = async (/** @type {number} */ offset, /** @type {number} */ limit) => {
      const page = await api.get("/enquiries", { ...queryOf(values), status, limit, offset: Math.max(0, offset + this.#moved) }, { signal });
      this.#counted(page.total);
      return { items: page.items, total: page.total - this.#moved };
    };
    const title = h("h2", null, t(`enquiries.status.${status}`), " ", this.#count);
    const listed = pager({ read, show: (each) => this.#card(each), list: this.#list, limit: LIMIT, none: () => this.#list, signal });
    this.element = h("section", { class: "column", "aria-label": t(`enquiries.status.${status}`), data: { status } }, title, listed);
  }

  /** @param {Element} card */
  enquiryOf(card) {
    return this.#enquiries.get(/** @type {HTMLElement | null} */ (card.closest(".enquiry-card"))?.dataset.id ?? "") ?? null;
  }

  /** @param {Enquiry} enquiry */
  add(enquiry) {
    this.#moved += 1;
    this.#counted(this.total + 1);
    this.#list.prepend(this.#card(enquiry));
    return this.#list.firstElementChild;
  }

  /** @param {string} id */
  remove(id) {
    this.#moved -= 1;
    this.#enquiries.delete(id);
    this.#counted(this.total - 1);
    this.#list.querySelector(`[data-id="${CSS.escape(id)}"]`)?.remove();
  }

  /** @param {number} total */
  #counted(total) {
    this.total = total;
    this.#count.textContent = number(total);
    this.#hooks.counted();
  }

  /** @param {Enquiry} enquiry @returns {Node} */
  #card(enquiry) {
    if (this.#enquiries.has(enquiry.id)) return document.createDocumentFragment();
    this.#enquiries.set(enquiry.id, enquiry);
    const card = h("article", { class: "enquiry-card", draggable: account.may("write") ? "true" : null, data: { id: enquiry.id } }, summary(enquiry));
    append(card, moveMenu(enquiry, (status) => this.#hooks.moved(enquiry, status).catch((error) => toast(sentence(error), "bad")), t("enquiries.move")));
    return card;
  }
}
