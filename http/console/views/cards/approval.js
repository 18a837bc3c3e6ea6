// @ts-check
// What a person is asked to approve: exactly what will happen, until when, and who may decide.

import { account, leadOf } from "../../account.js";
import { api, Problem } from "../../api.js";
import { h, replace } from "../../dom.js";
import { countdown, dateTime } from "../../format.js";
import { nameOf, sentence, t } from "../../texts.js";
import { badge, busy, button, id as newId, toast } from "../../ui.js";
import { personName } from "../people.js";

/** @typedef {"pending" | "granted" | "rejected" | "expired"} Status */
/** @typedef {{ id: string, session_id: string, tool_name: string, summary: string, status: Status, requested_at: string, expires_at: string | null, resolved_at: string | null, resolved_by_user_id: string | null, reason: string | null, payload?: any }} Approval */

const SOON_SECONDS = 120;
/** @type {Record<Status, "good" | "warn" | "bad" | "plain">} */
const TONES = { pending: "warn", granted: "good", rejected: "bad", expired: "plain" };

export class ApprovalCard {
  #clock = h("span", { class: "countdown" });
  #foot = h("div", { class: "approval-foot" });
  #badge = h("span");
  #told;
  #shown = "";
  #summary;

  /** @param {Approval} approval @param {(card: ApprovalCard) => void} told called after each change of the status */
  constructor(approval, told) {
    const heading = newId("approval");
    this.#summary = newId("summary");
    this.approval = approval;
    this.#told = told;
    this.element = h("div", { class: "approval", role: "group", data: { approval: approval.id }, "aria-labelledby": heading, tabindex: "-1" },
      h("div", { class: "approval-head" }, h("h3", { id: heading }, h("span", { class: "approval-tool" }, nameOf("tools", approval.tool_name)), t("conversations.approval")), this.#badge, this.#clock),
      h("p", { class: "approval-summary", id: this.#summary }, approval.summary), this.#foot);
    this.update(approval);
  }

  get pending() {
    return this.approval.status === "pending";
  }

  /** Takes over what is known of it now; a decision is never undone by older news. @param {Approval} approval */
  update(approval) {
    if (!this.pending && approval.status === "pending") return;
    this.approval = approval;
    this.element.dataset.status = approval.status;
    replace(this.#badge, badge(nameOf("approval_statuses", approval.status), TONES[approval.status]));
    this.tick();
    const shown = JSON.stringify([approval.status, approval.resolved_by_user_id, approval.reason]);
    if (shown === this.#shown) return;
    this.#shown = shown;
    replace(this.#foot, this.pending ? this.#ask() : this.#decision());
    this.#told(this);
  }

  /** Reads it again: for its deadline, and who decided it. */
  async read() {
    const found = await api.get(`/approvals/${this.approval.id}`).catch(() => null);
    if (found !== null) this.update(found);
  }

  /** Shows the time that is left. */
  tick() {
    const { expires_at: until } = this.approval;
    this.#clock.hidden = !this.pending || until === null;
    if (this.#clock.hidden || until === null) return;
    const left = Math.ceil((Date.parse(until) - Date.now()) / 1000);
    this.#clock.title = dateTime(until);
    this.#clock.textContent = t("conversations.left", { time: countdown(left) });
    this.#clock.classList.toggle("soon", left < SOON_SECONDS);
    if (left <= 0 && left % 5 === 0) this.read();
  }

  #ask() {
    const { tool_name: tool } = this.approval;
    if (!account.may("decide", tool)) return h("p", { class: "quiet" }, t(leadOf(tool) === "ticketing_lead" ? "conversations.waits_for_travel" : "conversations.waits_for_accounting"));
    const place = h("div", { class: "actions" });
    const choices = () => replace(place,
      button(t("conversations.grant"), (event) => this.#decide(/** @type {HTMLButtonElement} */ (event.currentTarget), true, null), { tone: "primary", "aria-describedby": this.#summary }),
      button(t("conversations.deny"), () => replace(place, this.#denial(back)), { "aria-describedby": this.#summary }));
    const back = () => {
      choices();
      /** @type {HTMLElement} */ (place.lastElementChild).focus();
    };
    choices();
    return place;
  }

  /** @param {() => void} back */
  #denial(back) {
    const own = newId("reason");
    const input = h("input", { id: own, name: "reason", maxlength: 1024, autocomplete: "off" });
    const form = h("form", { class: "denial", on: { keydown: (/** @type {KeyboardEvent} */ { key }) => key === "Escape" && back(), submit: (/** @type {Event} */ event) => {
      event.preventDefault();
      this.#decide(/** @type {HTMLButtonElement} */ (form.querySelector("button")), false, input.value.trim() || null);
    } } }, h("label", { for: own }, t("conversations.reason")), input,
      h("div", { class: "actions" }, h("button", { class: "button danger" }, t("conversations.deny")), button(t("ui.cancel"), back)));
    queueMicrotask(() => input.focus());
    return form;
  }

  /** @param {HTMLButtonElement} pressed @param {boolean} granted @param {string | null} reason */
  async #decide(pressed, granted, reason) {
    try {
      const decided = await busy(pressed, () => api.post(`/approvals/${this.approval.id}/resolve`, { granted, reason }, { idempotent: true }));
      this.update(decided);
    } catch (error) {
      toast(sentence(error), "bad");
      if (error instanceof Problem && error.status === 409) await this.read();
    }
    dispatchEvent(new Event("vy-approvals"));
    this.element.focus({ preventScroll: true });
  }

  #decision() {
    const { status, resolved_at: at, resolved_by_user_id: by, reason } = this.approval;
    const who = h("span");
    if (by !== null) personName(by).then((name) => { who.textContent = `${name}, `; });
    return h("p", { class: "quiet small" }, status === "expired" ? t("conversations.expired_words") : [who, at && dateTime(at)], reason && [" · ", h("q", null, reason)]);
  }
}
