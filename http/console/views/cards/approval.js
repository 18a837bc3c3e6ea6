// @ts-check
// An approval, in its conversation and in the inbox: exactly what will happen, until when, who may decide, and what was decided.

import { account, leadOf } from "../../account.js";
import { api, Problem } from "../../api.js";
import { h, replace } from "../../dom.js";
import { tree } from "../../facts.js";
import { countdown, dateTime } from "../../format.js";
import { locale, sentence, t } from "../../texts.js";
import { badge, busy, button, field, id as newId, values } from "../../ui.js";
import { personName } from "../people.js";

/** @typedef {import("../../dom.js").Child} Child */
/** @typedef {"pending" | "granted" | "rejected" | "expired"} Status */
/** @typedef {{ id: string, session_id: string, tool_name: string, summary: string, status: Status, requested_at: string, expires_at: string | null, resolved_at: string | null, resolved_by_user_id: string | null, reason: string | null, payload?: any }} Approval */

const SOON_SECONDS = 120;
const LOOK_SECONDS = 5;
/** @type {Record<Status, "good" | "warn" | "bad" | "plain">} */
const TONES = { pending: "warn", granted: "good", rejected: "bad", expired: "plain" };

/** @param {Status} status */
export function statusBadge(status) {
  return badge(t(`approvals.status.${status}`), TONES[status]);
}

export class ApprovalCard {
  #clock = h("span", { class: "countdown" });
  #badge = h("span");
  #exactly = h("details", { hidden: true });
  #foot = h("div");
  #told;
  #shown = "";
  #summary = newId("summary");

  /**
   * @param {Approval} approval
   * @param {{ heading: HTMLElement, more?: Child, told?: (card: ApprovalCard) => void }} how `more` stands below the summary; `told` is called after each change of the status
   */
  constructor(approval, { heading, more, told = () => {} }) {
    heading.id = newId("approval");
    this.approval = approval;
    this.#told = told;
    this.element = h("div", { class: "approval", role: "group", data: { approval: approval.id }, "aria-labelledby": heading.id, tabindex: "-1" },
      h("div", { class: "approval-head" }, heading, this.#badge, this.#clock),
      h("p", { class: "approval-summary", id: this.#summary }, approval.summary), more, this.#exactly, this.#foot);
    this.update(approval);
  }

  get pending() {
    return this.approval.status === "pending";
  }

  /** When it expires, in milliseconds. */
  get until() {
    const { expires_at: until } = this.approval;
    return until === null ? Infinity : Date.parse(until);
  }

  /** Takes over what is known of it now; a decision is never undone by older news. @param {Approval} approval */
  update(approval) {
    if (!this.pending && approval.status === "pending") return;
    this.approval = approval;
    this.element.dataset.status = approval.status;
    replace(this.#badge, statusBadge(approval.status));
    this.tick();
    this.#showPayload();
    const shown = JSON.stringify([approval.status, approval.resolved_by_user_id, approval.reason]);
    if (shown === this.#shown) return;
    this.#shown = shown;
    if (this.pending) replace(this.#foot, this.#ask());
    else this.#end(this.#decision());
    this.#told(this);
  }

  /** Reads it again: for its deadline, and who decided it. Without an answer it stays as it is. */
  async read() {
    try {
      this.update(await api.get(`/approvals/${this.approval.id}`));
    } catch (error) {
      if (!(error instanceof Problem)) throw error;
      if (!error.passing) this.#lost(error);
    }
  }

  /** Shows the time that is left. Whether it has expired is the service's to say: the clock of this computer may be wrong. */
  tick() {
    this.#clock.hidden = !this.pending || this.until === Infinity;
    if (this.#clock.hidden) return;
    const left = Math.ceil((this.until - Date.now()) / 1000);
    this.#clock.title = dateTime(this.approval.expires_at);
    this.#clock.textContent = t("approvals.left", { time: countdown(left) });
    this.#clock.classList.toggle("soon", left < SOON_SECONDS);
    if (left <= 0 && left % LOOK_SECONDS === 0) this.read();
  }

  #showPayload() {
    const { payload } = this.approval;
    this.#exactly.hidden = !this.pending || payload === undefined;
    if (!this.#exactly.hidden && this.#exactly.childElementCount === 0) {
      replace(this.#exactly, h("summary", null, t("approvals.exactly")), tree(payload));
      this.#exactly.open = locale() !== "en"; // the summary is stored in English
    }
  }

  #ask() {
    const { tool_name: tool } = this.approval;
    if (!account.may("decide", tool)) return h("p", { class: "quiet" }, t(`approvals.waits_for.${leadOf(tool)}`));
    const problem = h("p", { class: "problem", role: "alert", hidden: true });
    const form = h("form", { class: "decision", novalidate: true, on: { submit: (/** @type {Event} */ event) => event.preventDefault() } },
      field({ name: "reason", label: t("approvals.reason"), control: { maxlength: 1024, autocomplete: "off" } }));
    const buttons = [true, false].map((granted) => button(t(granted ? "approvals.grant" : "approvals.deny"), async ({ currentTarget }) => {
      problem.hidden = true;
      for (const each of buttons) each.disabled = true;
      try {
        await busy(/** @type {HTMLButtonElement} */ (currentTarget), () => this.#decide(granted, values(form).reason.trim() || null));
      } catch (error) {
        if (!(error instanceof Problem)) throw error;
        problem.textContent = sentence(error);
        problem.hidden = false;
      } finally {
        for (const each of buttons) each.disabled = false;
      }
    }, { tone: granted ? "primary" : undefined, "aria-describedby": this.#summary }));
    form.append(h("div", { class: "actions" }, buttons), problem);
    return form;
  }

  /** @param {boolean} granted @param {string | null} reason */
  async #decide(granted, reason) {
    try {
      this.update(await api.post(`/approvals/${this.approval.id}/resolve`, { granted, reason }, { idempotent: true }));
      this.#end([t(granted ? "approvals.granted_text" : "approvals.rejected_text"), because(reason)]);
    } catch (error) {
      if (!(error instanceof Problem) || error.code !== "approval_already_resolved") throw error;
      await this.read();
    }
    this.#foot.querySelector("p")?.focus();
    dispatchEvent(new Event("vy-approvals"));
  }

  /** How it was decided. */
  #decision() {
    const { status, resolved_at: at, resolved_by_user_id: by, reason } = this.approval;
    if (status === "expired") return t("approvals.expired_text");
    const said = h("span", null, by === null ? dateTime(at) : "");
    const how = by === account.user?.id ? `approvals.you_${status}` : `approvals.another_${status}`;
    if (by !== null) personName(by).then((name) => { said.textContent = t(how, { when: dateTime(at), name }); });
    return [said, because(reason)];
  }

  /** @param {Child} said */
  #end(said) {
    const held = this.#foot.contains(document.activeElement);
    const outcome = h("p", { class: "quiet", tabindex: "-1", role: "status" }, said);
    replace(this.#foot, outcome);
    if (held) outcome.focus();
  }

  /** Its conversation is gone, or the role may not read it. @param {Problem} why */
  #lost(why) {
    this.update({ ...this.approval, status: "expired" });
    this.#end(sentence(why));
  }
}

/** @param {string | null} reason */
function because(reason) {
  return reason && ` ${t("approvals.because", { reason })}`;
}
