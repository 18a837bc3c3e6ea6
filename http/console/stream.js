// @ts-check
// A conversation's events as they come: a stream that comes back where it stopped, whatever stopped it, and hands over
// once a frame what has come since.

import { address, api, Problem } from "./api.js";

/**
 * @typedef {{ kind: string, session_id: string, turn_id: string, timestamp: string, text: string | null, tool_name: string | null, tool_input: any, tool_output: any, tool_call_id: string | null, approval_id: string | null, approval_summary: string | null, error_message: string | null }} AgentEvent
 * @typedef {{ id: number, event: AgentEvent }} Arrival
 * @typedef {"connecting" | "live" | "waiting" | "resting" | "gone"} State
 * @typedef {{ session: string, cursor: number, deliver: (arrivals: Arrival[]) => void, changed: (state: State) => void, gap: () => void, idle: () => boolean }} Props
 */

const SILENCE_MS = 40_000; // a heartbeat comes every 15 s
const CHECK_MS = 5_000;
const REST_MS = 60_000; // a page that nobody sees gives its connection back: a browser has six for all its tabs
const HIDDEN_MS = 250; // hidden pages have no frames
const PAUSES_MS = [400, 1_000, 2_000, 4_000, 8_000];
const OUTSIDE_THE_LOG = new Set(["replay", "error"]);

export class EventStream {
  #props;
  #cursor;
  /** @type {EventSource | null} */
  #source = null;
  /** @type {Arrival[]} */
  #arrived = [];
  #due = false;
  #receivedAt = 0;
  #hiddenSince = 0;
  #failures = 0;
  #attempt = 0;
  #timer = 0;
  #end = new AbortController();
  /** @type {State} */
  #state = "connecting";

  /** @param {Props} props */
  constructor(props) {
    this.#props = props;
    this.#cursor = props.cursor;
  }

  open() {
    const { signal } = this.#end;
    for (const type of ["online", "offline"]) addEventListener(type, () => this.#connect(), { signal }); // offline, a service on this computer still answers
    addEventListener("pageshow", ({ persisted }) => persisted && this.#connect(), { signal });
    document.addEventListener("visibilitychange", () => this.#looked(), { signal });
    const checks = setInterval(() => this.#check(), CHECK_MS);
    signal.addEventListener("abort", () => clearInterval(checks));
    this.#connect();
  }

  close() {
    this.#end.abort();
    this.#stop();
  }

  async #connect() {
    if (this.#state === "gone") return;
    const mine = ++this.#attempt;
    const { session } = this.#props;
    this.#stop();
    this.#change("connecting");
    try {
      const { ticket } = await api.post(`/chat/sessions/${session}/ticket`, undefined, { signal: this.#end.signal });
      if (mine === this.#attempt && !this.#end.signal.aborted) this.#listen(address(`/chat/sessions/${session}/events`, { ticket, last_event_id: this.#cursor }));
    } catch (error) {
      if (mine !== this.#attempt || this.#end.signal.aborted) return;
      if (error instanceof Problem && error.code === "session_not_found") this.#gone();
      else this.#later();
    }
  }

  /** @param {URL} url */
  #listen(url) {
    const source = new EventSource(url);
    this.#source = source;
    this.#receivedAt = Date.now();
    source.addEventListener("open", () => {
      this.#failures = 0;
      this.#receivedAt = Date.now();
      this.#change("live");
    });
    source.addEventListener("heartbeat", () => { this.#receivedAt = Date.now(); });
    source.addEventListener("agent_event", (message) => this.#take(message));
    source.addEventListener("error", () => this.#later());
  }

  /** @param {MessageEvent<string>} message */
  #take({ data, lastEventId }) {
    this.#receivedAt = Date.now();
    /** @type {AgentEvent} */
    const event = JSON.parse(data);
    const id = Number(lastEventId);
    if (OUTSIDE_THE_LOG.has(event.turn_id)) return this.#told(event.error_message ?? "");
    if (id <= this.#cursor) return;
    this.#cursor = id;
    this.#arrived.push({ id, event });
    if (this.#due) return;
    this.#due = true;
    if (document.hidden) setTimeout(() => this.#deliver(), HIDDEN_MS);
    else requestAnimationFrame(() => this.#deliver());
  }

  #deliver() {
    if (!this.#due) return;
    this.#due = false;
    const arrived = this.#arrived;
    this.#arrived = [];
    if (!this.#end.signal.aborted) this.#props.deliver(arrived);
  }

  /** What the service says of the stream itself. @param {string} said */
  #told(said) {
    if (said.startsWith("session_deleted")) this.#gone();
    else if (said.startsWith("replay_failed")) this.#props.gap();
    else if (said) this.#later();
  }

  /** Comes back after a pause; the service says with `retry` how long, but only to the browser, which would keep an expired ticket. */
  #later() {
    if (this.#state === "gone" || this.#end.signal.aborted) return;
    this.#stop();
    this.#change("waiting");
    const pause = PAUSES_MS[Math.min(this.#failures++, PAUSES_MS.length - 1)];
    this.#timer = setTimeout(() => this.#connect(), pause * (0.5 + Math.random()));
  }

  #looked() {
    if (this.#due) this.#deliver();
    this.#hiddenSince = document.hidden ? Date.now() : 0;
    if (!document.hidden && this.#state !== "gone" && (this.#source === null || this.#silent())) this.#connect();
  }

  #check() {
    if (this.#source === null) return;
    if (this.#silent()) this.#connect();
    else if (document.hidden && this.#hiddenSince > 0 && Date.now() - this.#hiddenSince > REST_MS && this.#props.idle()) {
      this.#attempt++;
      this.#stop();
      this.#change("resting");
    }
  }

  #silent() {
    return Date.now() - this.#receivedAt > SILENCE_MS;
  }

  #gone() {
    this.#stop();
    this.#change("gone");
  }

  #stop() {
    clearTimeout(this.#timer);
    this.#source?.close();
    this.#source = null;
  }

  /** @param {State} state */
  #change(state) {
    if (this.#state === "gone") return;
    this.#state = state;
    this.#props.changed(state);
  }
}
