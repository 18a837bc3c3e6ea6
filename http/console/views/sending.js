// @ts-check
// Sends a message and waits for the first word of the answer; the rest comes by the conversation's stream.

import { address, api, Problem } from "../api.js";

/** @typedef {import("../stream.js").AgentEvent} AgentEvent */

const FIRST_WORD_MS = 2_500;
const PAUSES_MS = [600, 2_000, 4_000];

/**
 * The first event that the message caused; null if none has come yet, as for a message that is queued. A key makes
 * repetitions the same message. Throws a `Problem`; what the service refuses after it took the message, too.
 * @param {string} session @param {{ message: string, on_busy: string }} body @param {string} key @param {AbortSignal} signal @returns {Promise<AgentEvent | null>}
 */
export async function send(session, body, key, signal) {
  const init = { method: "POST", headers: { "Content-Type": "application/json", "Idempotency-Key": key }, body: JSON.stringify(body), signal };
  for (const pause of PAUSES_MS) {
    try {
      return refused(await first(session, init));
    } catch (error) {
      if (!(error instanceof Problem) || !(error.code === "network" || error.status === 503)) throw error;
      await new Promise((resolve) => setTimeout(resolve, pause));
      signal.throwIfAborted();
    }
  }
  return refused(await first(session, init));
}

/** @param {AgentEvent | null} event */
function refused(event) {
  if (event?.kind !== "error" || event.turn_id !== "error" && !/^(rate_limited|daily_budget_exceeded)/.test(event.error_message ?? "")) return event;
  throw new Problem(429, (event.error_message ?? "").split(":")[0]);
}

/** @param {string} session @param {RequestInit} init */
async function first(session, init) {
  const response = await api.send(address(`/chat/sessions/${session}/messages`), init, { patient: true });
  const reader = /** @type {ReadableStream<Uint8Array>} */ (response.body).getReader();
  const patience = setTimeout(() => reader.cancel(), FIRST_WORD_MS);
  try {
    return await eventOf(reader);
  } finally {
    clearTimeout(patience);
    reader.cancel().catch(() => null);
  }
}

/** @param {ReadableStreamDefaultReader<Uint8Array>} reader @returns {Promise<AgentEvent | null>} */
async function eventOf(reader) {
  const decoder = new TextDecoder();
  let text = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return null;
    text += decoder.decode(value, { stream: true });
    const found = /^data: (\{.*\})\n/m.exec(text);
    if (found !== null) return JSON.parse(found[1]);
  }
}
