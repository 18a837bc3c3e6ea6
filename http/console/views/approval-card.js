// @ts-check
// One approval that waits: exactly what will happen, for how long, and the two answers.

import { account } from "../account.js";
import { api, Problem } from "../api.js";
import { h, replace } from "../dom.js";
import { tree } from "../facts.js";
import { countdown, dateTime, relative } from "../format.js";
import { anchor, link } from "../router.js";
import { nameOf, sentence, t } from "../texts.js";
import { badge, button, busy, field, id, unseen, values } from "../ui.js";
import { personName } from "./people.js";

/**
 * @typedef {{ id: string, session_id: string, tool_name: string, summary: string, requested_at: string, expires_at: string | null, status: string,
 *   payload: Record<string, unknown>, resolved_at: string | null, resolved_by_user_id: string | null, reason: string | null }} Approval
 */

const SOON_SECONDS = 120;
const LOOK_SECONDS = 5;
/** @type {Record<string, "good" | "warn" | "bad" | "plain">} */
const TONES = { granted: "good", rejected: "bad", expired: "plain" };

export class Waiting {
  #left = h("span", { class: "time-left" });
  #answers = h("div", { class: "answers" });
  #open = true;
  #reading = false;
  #approval;

  /** @param {Approval} approval */
  constructor(approval) {
    this.#approval = approval;
    const heading = id("approval");
    this.element = h("article", { class: "card request", "aria-labelledby": heading, data: { id: approval.id } },
      h("div", { class: "request-head" }, h("h2", { id: heading }, nameOf("tools", approval.tool_name)), this.#left),
      h("p", { class: "summary" }, approval.summary),
      h("p", { class: "small quiet" }, t("approvals.asked", { when: relative(approval.requested_at) }), " · ",
        anchor(link("conversations", approval.session_id), null, t("approvals.conversation"), unseen([" ", nameOf("tools", approval.tool_name)]))),
      h("details", null, h("summary", null, t("approvals.exactly")), tree(approval.payload)),
      this.#answers);
    this.#ask();
    this.tick();
  }

  /** When it expires, in milliseconds. */
  get until() {
    return this.#approval.expires_at === null ? Infinity : Date.parse(this.#approval.expires_at);
  }

  /** Shows the time that is left. Whether it has expired is the service's to say: the clock of this computer may be wrong. */
  tick() {
    if (!this.#open || this.until === Infinity) return;
    const seconds = (this.until - Date.now()) / 1000;
    this.#left.textContent = t("approvals.left", { time: countdown(seconds) });
    this.#left.classList.toggle("soon", seconds < SOON_SECONDS);
    if (seconds <= 0 && Math.ceil(seconds) % LOOK_SECONDS === 0) this.gone();
  }

  /** It may wait no longer: somebody else has decided, or it has expired. Without an answer it stays as it is. */
  async gone() {
    if (!this.#open || this.#reading) return;
    this.#reading = true;
    try {
      const now = await api.get(`/approvals/${this.#approval.id}`);
      if (now.status !== "pending") this.#end(now.status, said(now, await personName(now.resolved_by_user_id)));
    } catch (error) {
      if (!(error instanceof Problem && error.passing)) this.#end("expired", sentence(error));
    } finally {
      this.#reading = false;
    }
  }

  #ask() {
    if (!account.may("decide", this.#approval.tool_name)) {
      replace(this.#answers, h("p", { class: "quiet" }, t(account.may("decide") ? "approvals.other_role" : "approvals.not_yours")));
      return;
    }
    const reason = field({ name: "reason", label: t("approvals.reason"), control: { maxlength: 1024, autocomplete: "off" } });
    const problem = h("p", { class: "problem", role: "alert", hidden: true });
    const answers = h("form", { novalidate: true, on: { submit: (/** @type {Event} */ event) => event.preventDefault() } }, reason, problem);
    const answer = async (/** @type {HTMLButtonElement} */ pressed, /** @type {boolean} */ granted) => {
      problem.hidden = true;
      try {
        await busy(pressed, () => this.#decide(granted, values(answers).reason.trim() || null));
      } catch (error) {
        problem.textContent = sentence(error);
        problem.hidden = false;
      }
    };
    const name = nameOf("tools", this.#approval.tool_name);
    const grant = button(t("approvals.grant"), () => answer(grant, true), { tone: "primary", "aria-label": t("approvals.grant_of", { name }) });
    const deny = button(t("approvals.deny"), () => answer(deny, false), { "aria-label": t("approvals.deny_of", { name }) });
    answers.append(h("div", { class: "form-actions" }, grant, deny));
    replace(this.#answers, answers);
  }

  /** @param {boolean} granted @param {string | null} reason */
  async #decide(granted, reason) {
    try {
      const decided = await api.post(`/approvals/${this.#approval.id}/resolve`, { granted, reason }, { idempotent: true });
      this.#end(decided.status, t(granted ? "approvals.granted_text" : "approvals.rejected_text"), true);
    } catch (error) {
      if (!(error instanceof Problem) || error.code !== "approval_already_resolved") throw error;
      await this.gone();
      this.#answers.querySelector("p")?.focus();
    }
    dispatchEvent(new Event("vy-approvals"));
  }

  /** @param {string} status @param {string} text @param {boolean} [focused] */
  #end(status, text, focused = false) {
    this.#open = false;
    const held = this.#answers.contains(document.activeElement);
    this.element.classList.add("decided");
    replace(this.#left, badge(t(`approvals.status.${status}`), TONES[status]));
    const outcome = h("p", { tabindex: "-1", role: "status" }, text);
    replace(this.#answers, outcome);
    if (focused || held) outcome.focus();
  }
}

/** How it was decided. @param {Approval} approval @param {string} name */
function said({ status, resolved_at: at, resolved_by_user_id: who, reason }, name) {
  const when = dateTime(at);
  if (status === "expired" || who === null) return t("approvals.expired_text");
  const how = t(who === account.user?.id ? `approvals.you_${status}` : `approvals.another_${status}`, { when, name });
  return reason === null ? how : `${how} ${t("approvals.because", { reason })}`;
}
