// @ts-check
// The audit trail: who did what, whether all of it is still as it was written, and a download.

import { api } from "../api.js";
import { h, replace } from "../dom.js";
import { facts, tree } from "../facts.js";
import { chosenIn, filters, latest } from "../filters.js";
import { dateTime, number, today } from "../format.js";
import { link, note } from "../router.js";
import { has, nameOf, t } from "../texts.js";
import { badge, button, busy, empty, field, header, pager } from "../ui.js";
import { define, View } from "../view.js";
import { verified } from "./audit-verdict.js";

/**
 * @typedef {{ id: string, actor_kind: string, actor_id: string | null, actor_email: string | null, kind: string, summary: string, payload: Record<string, any>,
 *   status: string, created_at: string, seq: number, hash: string }} AuditEvent
 */

const FILTERS = ["actor_id", "kind", "from", "to"];
const MEMBERS = 200;
const KINDS = [
  "approval.expired", "approval.granted", "approval.rejected", "approval.requested", "audit.exported", "auth.account_closed", "auth.api_key_created",
  "auth.api_key_revoked", "auth.denied", "auth.email_change_undone", "auth.email_changed", "auth.email_verified", "auth.invite_accepted",
  "auth.invite_created", "auth.invite_revoked", "auth.member_changed", "auth.password_changed", "auth.password_reset",
  "auth.password_reset_requested", "auth.profile_changed", "auth.recovery_code_used", "auth.refresh_reused", "auth.session_revoked", "auth.sign_in",
  "auth.sign_in_failed", "auth.sign_out", "auth.sign_up", "auth.throttled", "auth.totp_disabled", "auth.totp_enabled", "booking.lapsed",
  "enquiry.changed", "enquiry.created", "enquiry.promoted", "session.deleted", "session.renamed", "settings.changed", "supplier.write",
  "tax_rates.set", "turn.cancelled", "book_flight", "book_hotel", "cancel_flight_order", "cancel_hotel_booking", "draft_invoice", "issue_invoice",
  "issue_ticket", "pay_bill", "post_journal_entry", "record_bill", "record_payment", "void_bill", "void_invoice",
];

class Audit extends View {
  #chosen = /** @type {import("../filters.js").Chosen} */ ({});

  async show() {
    const found = h("div");
    const verdict = h("div", { role: "status" });
    const next = latest(() => this.signal);
    const verify = button(t("audit.verify"), () => busy(verify, async () => replace(verdict, await verified(this.signal))), { tone: "primary" });
    const download = button(t("ui.download"), () => busy(download, () => api.download("/audit/export.csv", { ...queryOf(this.#chosen), bom: 1 }, `audit-${today()}.csv`)));
    const change = (/** @type {import("../filters.js").Chosen} */ values) => {
      this.#chosen = values;
      note(link("audit", values));
      replace(found, list(values, next()));
    };
    const chosen = chosenIn(this.route.query, FILTERS);
    const form = filterForm(chosen, change);
    replace(this, header(t("audit.title"), { lead: t("audit.lead"), actions: [download, verify] }), verdict, form, found);
    change(chosen);
    const people = await api.get("/auth/members", { limit: MEMBERS }, { signal: this.signal }).catch(() => ({ items: [] }));
    offer(/** @type {HTMLSelectElement} */ (form.elements.namedItem("actor_id")), people.items);
  }
}

/** Adds people to choose from, and names the one who is chosen. @param {HTMLSelectElement} select @param {{ id: string, email: string, full_name: string | null }[]} people */
function offer(select, people) {
  for (const { id, email, full_name: name } of people) {
    const known = [...select.options].find(({ value }) => value === id);
    const option = known ?? select.appendChild(h("option", { value: id }));
    option.text = name ? `${name} (${email})` : email;
  }
}

/** @param {import("../filters.js").Chosen} chosen @param {(chosen: import("../filters.js").Chosen) => void} change */
function filterForm(chosen, change) {
  const who = /** @type {[string, string][]} */ ([["", t("audit.anybody")]]);
  if (chosen.actor_id) who.push([chosen.actor_id, chosen.actor_id]);
  const day = (/** @type {string} */ name) => field({ name, label: t(`audit.${name}`), type: "date", value: chosen[name], required: true });
  const kinds = h("datalist", { id: "audit-kinds" }, KINDS.map((value) => h("option", { value, label: kindName(value) })));
  const made = filters({
    name: t("audit.filters"),
    fields: [
      field({ name: "actor_id", label: t("audit.who"), value: chosen.actor_id, options: who }),
      field({ name: "kind", label: t("audit.kind"), value: chosen.kind, type: "search", required: true, control: { list: "audit-kinds", placeholder: "book_flight", autocomplete: "off", spellcheck: "false" } }),
      day("from"), day("to"),
    ],
    change,
  });
  made.append(kinds);
  return made;
}

/** @param {import("../filters.js").Chosen} values */
function queryOf(values) {
  return { ...values, tz: values.from || values.to ? "agency" : null };
}

/** @param {import("../filters.js").Chosen} values @param {AbortSignal} signal */
function list(values, signal) {
  const sum = h("p", { class: "count quiet", role: "status" });
  return [sum, pager({
    read: async (offset, limit) => {
      const page = await api.get("/audit", { ...queryOf(values), limit, offset }, { signal });
      sum.textContent = t("audit.found", { n: page.total });
      return page;
    },
    show: shown,
    list: h("ol", { class: "events" }),
    none: () => empty({ title: t("audit.none"), text: t("audit.none_text") }),
    signal,
  })];
}

/** @param {AuditEvent} event */
function shown(event) {
  const who = event.actor_email ?? nameOf("audit.actors", event.actor_kind);
  const { inputs, outputs, entity_refs: refs, ...more } = event.payload;
  return h("li", { class: "event", data: { kind: event.kind } }, h("details", null,
    h("summary", null, h("span", { class: "event-time" }, dateTime(event.created_at)), h("span", { class: "event-kind" }, h("strong", null, kindName(event.kind)), " ", h("span", { class: "small quiet" }, told(event)), event.status === "error" && [" ", badge(t("audit.error"), "bad")]),
      h("span", { class: "event-who" }, event.actor_kind === "agent" ? t("audit.agent_for", { who }) : who)),
    h("div", { class: "event-body" },
      [["inputs", inputs], ["outputs", outputs], ["refs", refs], ["more", more]].map(([name, value]) => Object.keys(value ?? {}).length > 0 && [h("h2", null, t(`audit.${name}`)), tree(value)]),
      facts([[t("audit.seq"), number(event.seq)], [t("audit.id"), h("code", null, event.id)], [t("audit.hash"), h("code", null, event.hash)]]))));
}

/** @param {string} kind a tool's name, or what was done to what */
function kindName(kind) {
  return has(`tools.${kind}`) ? t(`tools.${kind}`) : has(`audit.kinds.${kind}`) ? t(`audit.kinds.${kind}`) : kind;
}

/** Its kind as it is filtered by, and what its summary says beside it. @param {AuditEvent} event */
function told({ kind, summary }) {
  const said = summary.startsWith(kind) ? summary.slice(kind.length) : `: ${summary}`;
  return `${kind}${said.replace(/ \((\w+)\)$/, (_, state) => ` · ${nameOf("audit.states", state)}`)}`;
}

define("vy-audit", Audit);
