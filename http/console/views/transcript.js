// @ts-check
// A conversation on the page: made of the transcript, continued by events. Both name the same calls and turns, so that
// what comes twice is shown once.

import { account } from "../account.js";
import { append, h } from "../dom.js";
import { dateTime, moment } from "../format.js";
import { has, nameOf, t } from "../texts.js";
import { unseen } from "../ui.js";
import { ApprovalCard } from "./cards/approval.js";
import { ToolCard } from "./cards/tool.js";
import { personName } from "./people.js";
import { TextRun } from "./text-run.js";

/** @typedef {import("../stream.js").AgentEvent} AgentEvent */
/** @typedef {import("../stream.js").Arrival} Arrival */
/** @typedef {import("./cards/approval.js").Approval} Approval */
/** @typedef {{ type: "text", text: string } | { type: "tool_use", id: string, name: string, input: any } | { type: "tool_result", tool_use_id: string, name: string, output: any, is_error: boolean }} Block */
/** @typedef {{ turn_id: string, error_message: string }} Failure */
/** @typedef {{ id: string, turn_id: string, role: "user" | "assistant" | "tool", content: Block[], created_at: string, user_id: string | null }} Item */
/**
 * What the view is told: a turn whose message is not on the page yet, a pass that has ended with its last words, an
 * approval that is asked for or decided.
 * @typedef {{ choose: ((text: string) => void) | null, turn: (id: string) => void, passed: (said: string, failed: boolean) => void, approval: (card: ApprovalCard) => void }} Hooks
 */

const QUIET_TOOLS = new Set(["clarify"]); // its question is said in words
const ERRORS = /^([a-z_]+)/;

export class Transcript {
  element = h("div", { class: "transcript" });
  /** @type {Map<string, ToolCard>} */
  #calls = new Map();
  /** Results whose call is on an older page. @type {Map<string, any>} */
  #results = new Map();
  /** @type {Map<string, ApprovalCard>} */
  #approvals = new Map();
  /** Approvals that were listed, until their call is on the page. @type {Approval[]} */
  #listed = [];
  #turns = new Set();
  /** @type {TextRun | null} */
  #run = null;
  #lastSaid = "";
  #failed = false;
  #hooks;

  /** @param {Hooks} hooks */
  constructor(hooks) {
    this.#hooks = hooks;
  }

  /** Approvals of the conversation, for calls that are or come on the page. @param {Approval[]} approvals */
  know(approvals) {
    this.#listed.push(...approvals);
    this.#listed.sort((one, other) => (one.requested_at < other.requested_at ? -1 : 1));
    for (const card of this.#calls.values()) this.#attach(card);
  }

  /** Pending approvals whose call is not on the page stand at its end: nobody has to look for them. */
  showStray() {
    for (const approval of this.#listed.splice(0).filter(({ status }) => status === "pending")) append(this.element, h("div", { class: "turn" }, h("h2", { class: "hidden-words" }, t("conversations.approval_needed")), this.#card(approval).element));
  }

  /** @param {Item[]} items the newest ones @param {Failure[]} failures of their turns */
  fill(items, failures) {
    this.#add(this.element, items, failures);
  }

  /** @param {Item[]} items older than all there are @param {Failure[]} failures */
  prepend(items, failures) {
    const older = h("div");
    this.#add(older, items, failures);
    this.element.prepend(...older.childNodes);
  }

  /** @param {Element} into @param {Item[]} items @param {Failure[]} failures a turn that goes on on a newer page has said it there */
  #add(into, items, failures) {
    for (const item of items) this.#put(into, item);
    for (const { turn_id: turn, error_message: said } of failures) {
      if (this.element.querySelector(`[data-turn="${CSS.escape(turn)}"] > [data-failure]`)) continue;
      const sections = into.querySelectorAll(`[data-turn="${CSS.escape(turn)}"]`);
      sections[sections.length - 1].append(this.#failure(said));
    }
  }

  /** What has come since the last frame, as one change of the page. @param {Arrival[]} arrivals */
  take(arrivals) {
    for (const { id, event } of arrivals) this.#apply(id, event);
    this.#run?.write();
  }

  /** The message of a turn, at the head of what is said to it. @param {string} turn @param {string} text @param {string | null} user @param {string} at */
  said(turn, text, user, at) {
    const first = this.#section(this.element, turn, false);
    if (first.dataset.said === "") return;
    first.dataset.said = "";
    first.prepend(this.#bubble(text, user, at));
  }

  /** @param {string} turn */
  hasMessage(turn) {
    return this.element.querySelector(`[data-turn="${CSS.escape(turn)}"][data-said]`) !== null;
  }

  get pending() {
    return [...this.#approvals.values()].filter((card) => card.pending);
  }

  tick() {
    for (const card of this.#approvals.values()) if (card.pending) card.tick();
  }

  get isEmpty() {
    return this.element.childElementCount === 0;
  }

  /** @param {Element} into @param {Item} item */
  #put(into, { turn_id: turn, role, content, created_at: at, user_id: user }) {
    const section = () => this.#section(into, turn, true);
    this.#turns.add(turn);
    for (const block of content) {
      if (block.type === "text" && role === "user") {
        section().dataset.said = "";
        section().append(this.#bubble(block.text, user, at));
      } else if (block.type === "text") section().append(...this.#answer(new TextRun(block.text.trimEnd())));
      else if (block.type === "tool_use") this.#use(section, { id: block.id, name: block.name, input: block.input }, true);
      else this.#result(block.tool_use_id, block.output);
    }
  }

  /** The section of a turn at the end, or its first one. @param {Element} into @param {string} turn @param {boolean} atEnd @returns {HTMLElement} */
  #section(into, turn, atEnd) {
    const last = /** @type {HTMLElement | null} */ (into.lastElementChild);
    if (last?.dataset.turn === turn) return last;
    const first = atEnd ? null : /** @type {HTMLElement | null} */ (into.querySelector(`[data-turn="${CSS.escape(turn)}"]`));
    if (first !== null) return first;
    const made = h("section", { class: "turn", data: { turn } });
    into.append(made);
    return made;
  }

  /** @param {string} text @param {string | null} user @param {string} at */
  #bubble(text, user, at) {
    const name = h("span", { class: "author" }, user === account.user?.id ? t("conversations.you") : "");
    if (user !== account.user?.id) personName(user).then((found) => { name.textContent = found; });
    return h("div", { class: "message" }, h("p", { class: "byline" }, name, h("time", { datetime: at, title: dateTime(at) }, moment(at))), h("div", { class: "said" }, text));
  }

  /** @param {TextRun} run */
  #answer(run) {
    return [h("div", { class: "answer" }, unseen(`${t("conversations.agent")}: `), run.element)];
  }

  /** @param {() => HTMLElement} section @param {import("./cards/tool.js").Call} call @param {boolean} kept whether it comes from the transcript */
  #use(section, call, kept) {
    if (this.#calls.has(call.id)) return;
    if (call.name === "handoff") section().append(h("p", { class: "handoff" }, t("conversations.handoff", { desk: nameOf("desks", call.input?.domain ?? "") })));
    if (kept && call.name === "clarify") section().append(...this.#answer(new TextRun(String(call.input?.question ?? ""))));
    if (call.name === "handoff" || QUIET_TOOLS.has(call.name)) return;
    const card = new ToolCard(call, { choose: this.#hooks.choose });
    this.#calls.set(call.id, card);
    section().append(card.element);
    this.#attach(card);
    if (this.#results.has(call.id)) card.result(this.#results.get(call.id));
    this.#results.delete(call.id);
  }

  /** @param {string} call @param {any} output */
  #result(call, output) {
    const card = this.#calls.get(call);
    if (card === undefined) this.#results.set(call, output);
    else card.result(output);
  }

  /** Finds the listed approval of a call: they name the tool and its very input. @param {ToolCard} card */
  #attach(card) {
    const { name, input } = card.call;
    const fits = (/** @type {Approval} */ each) => each.tool_name === name && canonical(each.payload) === canonical(input);
    const place = this.#listed.findIndex(fits);
    if (place < 0 || [...this.#approvals.values()].some((each) => card.element.contains(each.element))) return;
    const [approval] = this.#listed.splice(place, 1);
    const made = this.#card(approval);
    card.approval(made.element, made.pending);
  }

  /** @param {Approval} approval */
  #card(approval) {
    const known = this.#approvals.get(approval.id);
    if (known !== undefined) return known;
    const heading = h("h3", null, h("span", { class: "approval-tool" }, nameOf("tools", approval.tool_name)), t("conversations.approval"));
    const card = new ApprovalCard(approval, { heading, told: (told) => this.#approvals.has(told.approval.id) && this.#hooks.approval(told) });
    this.#approvals.set(approval.id, card);
    return card;
  }

  /** @param {number} id @param {AgentEvent} event */
  #apply(id, event) {
    const { kind, turn_id: turn } = event;
    if (!this.#turns.has(turn)) {
      this.#turns.add(turn);
      this.#hooks.turn(turn);
    }
    if (kind === "text_delta") return this.#word(id, turn, event.text ?? "");
    if (kind === "error" && event.error_message?.startsWith("answer_restarted")) return this.#run?.takeBack(Number(/\d+/.exec(event.error_message)?.[0]));
    this.#closeRun();
    const section = () => this.#section(this.element, turn, true);
    if (kind === "tool_use") this.#use(section, { id: event.tool_call_id ?? "", name: event.tool_name ?? "", input: event.tool_input }, false);
    else if (kind === "tool_result") this.#result(event.tool_call_id ?? "", event.tool_output);
    else if (kind === "approval_request") this.#asked(section, event);
    else if (kind === "approval_granted" || kind === "approval_denied") this.#decided(event);
    else if (kind === "error") this.#trouble(section, event.error_message ?? "");
    else if (kind === "final") this.#passed();
  }

  /** @param {number} id @param {string} turn @param {string} text */
  #word(id, turn, text) {
    const section = this.#section(this.element, turn, true);
    if (this.#run === null || !section.contains(this.#run.element)) {
      this.#closeRun();
      this.#run = new TextRun();
      section.append(...this.#answer(this.#run));
    }
    this.#run.add(id, text);
  }

  #closeRun() {
    if (this.#run === null) return;
    this.#run.close();
    this.#lastSaid = this.#run.text;
    this.#run = null;
  }

  /** @param {() => HTMLElement} section @param {AgentEvent} event */
  #asked(section, { approval_id: id, approval_summary: summary, tool_name: tool, tool_call_id: call, session_id: session, timestamp: at }) {
    const card = this.#card({
      id: id ?? "", session_id: session, tool_name: tool ?? "", summary: summary ?? "", status: "pending", requested_at: at, expires_at: null,
      resolved_at: null, resolved_by_user_id: null, reason: null,
    });
    const place = this.#calls.get(call ?? "");
    if (place) place.approval(card.element, card.pending);
    else if (!card.element.isConnected) section().append(card.element);
    card.read();
    this.#hooks.approval(card);
  }

  /** @param {AgentEvent} event */
  #decided({ approval_id: id, kind, error_message: why, text, timestamp: at, tool_call_id: call }) {
    const card = this.#approvals.get(id ?? "");
    if (card?.pending) {
      const status = kind === "approval_granted" ? "granted" : why === "expired" ? "expired" : "rejected";
      card.update({ ...card.approval, status, reason: text, resolved_at: at });
      card.read();
    }
    if (kind === "approval_granted") this.#calls.get(call ?? "")?.wait();
  }

  /** @param {() => HTMLElement} section @param {string} said */
  #trouble(section, said) {
    const shown = this.#failure(said);
    this.#failed = true;
    this.#lastSaid = shown.textContent ?? "";
    section().append(shown);
  }

  /** Why a turn failed or was stopped. @param {string} said */
  #failure(said) {
    const code = ERRORS.exec(said)?.[1] ?? "internal_error";
    const calm = code === "turn_cancelled" || code === "turn_interrupted";
    return h("p", { class: calm ? "note" : "problem", data: { failure: code } }, has(`stream_errors.${code}`) ? t(`stream_errors.${code}`, { id: said.split(": ")[1] ?? "" }) : t("problems.unexpected", { code }));
  }

  #passed() {
    const [said, failed] = [this.#lastSaid, this.#failed];
    this.#lastSaid = "";
    this.#failed = false;
    this.#hooks.passed(said, failed);
  }

  /** The pass is over: what has no result by now waits for nobody. */
  settle() {
    for (const card of this.#calls.values()) if (card.outcome === "waiting" && !this.pending.some(({ element }) => card.element.contains(element))) card.abandon();
  }
}

/** The same text for equal values, in whatever order their keys came. @param {any} value @returns {string} */
function canonical(value) {
  if (Array.isArray(value)) return `[${value.map(canonical).join()}]`;
  if (typeof value !== "object" || value === null) return JSON.stringify(value) ?? "";
  return `{${Object.keys(value).sort().map((key) => `${JSON.stringify(key)}:${canonical(value[key])}`).join()}}`;
}
