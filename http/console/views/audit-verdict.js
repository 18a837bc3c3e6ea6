// @ts-check
// Checks the whole chain of the audit trail, and says what that found in one clear sentence.

import { api } from "../api.js";
import { h } from "../dom.js";
import { facts } from "../facts.js";
import { number } from "../format.js";
import { t } from "../texts.js";

/**
 * @typedef {{ ok: boolean, from_seq: number, last_seq: number, checked: number, head_seq: number, head_hash: string,
 *   broken: { seq: number, id: string | null, why: string } | null, signed_head: string, signed_seq: number | null }} Verdict
 */

const SIGNED = ["compared", "none", "unreadable"];
/** So that each request answers within seconds. */
const CHUNK = 20_000;

/** All of the chain, in as many requests as it takes. @param {AbortSignal} signal */
export async function verified(signal) {
  let checked = 0;
  let compared = false;
  for (let from = 1; ;) {
    /** @type {Verdict} */
    const verdict = await api.get("/audit/verify", { from_seq: from, limit: CHUNK }, { signal });
    checked += verdict.checked;
    compared ||= verdict.signed_head === "compared";
    if (!verdict.ok || verdict.checked === 0 || verdict.last_seq >= verdict.head_seq) return shown(verdict, checked, compared);
    from = verdict.last_seq + 1;
  }
}

/** @param {Verdict} verdict @param {number} checked @param {boolean} compared */
function shown({ ok, head_seq: head, head_hash: hash, broken, signed_head: signed, signed_seq: signedSeq }, checked, compared) {
  const against = compared ? "compared" : SIGNED.includes(signed) ? signed : "not_reached";
  return h("section", { class: ["verdict", ok ? "whole" : "broken"] },
    h("h2", null, t(ok ? "audit.whole" : "audit.broken")),
    h("p", null, ok ? t("audit.whole_text", { n: checked }) : broken === null ? t("audit.unsigned_text") : t(`audit.why.${broken.why}`, { n: broken.seq })),
    h("p", null, ok ? t(`audit.signed.${against}`, { n: signedSeq ?? 0 }) : t("audit.what_now")),
    h("details", null, h("summary", null, t("audit.figures")), facts([
      [t("audit.checked"), number(checked)], [t("audit.head"), number(head)], [t("audit.hash"), h("code", null, hash)],
      [t("audit.signed_seq"), signedSeq === null ? "–" : number(signedSeq)], broken !== null && broken.id !== null && [t("audit.id"), h("code", null, broken.id)],
    ])));
}
