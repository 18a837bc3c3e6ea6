// @ts-check
// The agency's members and invites.

import { account } from "../../account.js";
import { api } from "../../api.js";
import { h, replace } from "../../dom.js";
import { date, relative } from "../../format.js";
import { nameOf, t } from "../../texts.js";
import { badge, button, confirm, copyButton, dialog, empty, field, form, load, pager, section, table, tableRow, toast } from "../../ui.js";

const ROLES = ["agent", "ticketing_lead", "accounting_lead", "agency_admin", "viewer"];

/** @param {HTMLElement} body @param {AbortSignal} signal */
export function showPeople(body, signal) {
  const members = h("div");
  const invites = h("div");
  const again = () => showInvites(invites, signal);
  replace(body, section(t("people.members"), members),
    section(t("people.invites"), h("p", { class: "quiet" }, t("people.invites_lead")), h("div", null, button(t("people.invite"), () => invite(again), { tone: "primary" })), invites));
  showMembers(members, signal);
  again();
}

/** @param {HTMLElement} target @param {AbortSignal} signal */
function showMembers(target, signal) {
  const again = () => showMembers(target, signal);
  const columns = /** @type {{ label: string, show: (row: any) => import("../../dom.js").Child, head?: boolean }[]} */ ([
    { label: t("people.name"), head: true, show: (row) => [h("span", null, row.full_name ?? row.email), h("span", { class: "below" }, row.email)] },
    { label: t("people.role"), show: (row) => nameOf("roles", row.role) },
    { label: t("people.state"), show: (row) => [row.is_active ? badge(t("people.active"), "good") : badge(t("people.inactive")), " ", row.is_active && !row.email_verified && badge(t("app.unverified"), "warn")] },
    { label: t("security.factor"), show: (row) => row.totp_enabled ? t("ui.yes") : t("ui.no") },
    { label: t("people.seen"), show: (row) => row.last_login_at === null ? t("api_keys.never") : relative(row.last_login_at) },
    { label: t("ui.actions"), show: (row) => [button(t("people.change"), () => changeRole(row, again), { class: "compact" }), " ", button(row.is_active ? t("people.deactivate") : t("people.reactivate"), () => switchOff(row, again), { class: "compact" })] },
  ]);
  replace(target, pager({
    read: (offset, limit) => api.get("/auth/members", { offset, limit }, { signal }),
    list: table({ caption: t("people.members"), columns, rows: [] }),
    show: (row) => tableRow(columns, row),
    none: () => null,
    signal,
  }));
}

/** @param {string} value */
function roleField(value) {
  return field({ name: "role", label: t("people.role"), options: ROLES.map((each) => [each, `${nameOf("roles", each)}: ${t(`role_leads.${each}`)}`]), value });
}

/** @param {any} member @param {() => void} done */
async function changeRole(member, done) {
  const changed = await dialog({
    title: t("people.change_of", { name: member.full_name ?? member.email }),
    content: (close) => form({
      label: t("ui.save"),
      cancel: () => close(null),
      submit: async ({ role }) => close(await api.patch(`/auth/members/${member.id}`, { role })),
      fields: [roleField(member.role)],
    }),
  });
  if (changed !== null) await after(member, done);
}

/** @param {any} member @param {() => void} done */
async function switchOff(member, done) {
  const name = member.full_name ?? member.email;
  const ask = member.is_active
    ? { title: t("people.deactivate"), text: t("people.deactivate_lead", { name }), label: t("people.deactivate") }
    : { title: t("people.reactivate"), text: t("people.reactivate_lead", { name }), label: t("people.reactivate"), tone: /** @type {const} */ ("primary") };
  if (!(await confirm({ ...ask, act: () => api.patch(`/auth/members/${member.id}`, { is_active: !member.is_active }) }))) return;
  await after(member, done);
}

/** Whoever changes their own role sees the page of the new one. @param {any} member @param {() => void} done */
async function after(member, done) {
  toast(t("ui.saved"));
  if (member.id === account.user?.id) await account.restore();
  done();
}

/** @param {HTMLElement} target @param {AbortSignal} signal */
function showInvites(target, signal) {
  const revoke = async (/** @type {any} */ row) => {
    const act = () => api.post(`/auth/invites/${row.id}/revoke`, undefined, { idempotent: true });
    if (await confirm({ title: t("people.revoke"), text: t("people.revoke_lead", { email: row.email }), label: t("people.revoke"), act })) showInvites(target, signal);
  };
  load(target, () => api.get("/auth/invites", {}, { signal }), ({ items }) => items.length === 0
    ? empty({ title: t("people.no_invites"), text: t("people.no_invites_lead") })
    : table({
      caption: t("people.invites"),
      rows: items,
      columns: [
        { label: t("sign_in.email"), head: true, show: (row) => row.email },
        { label: t("people.role"), show: (row) => nameOf("roles", row.role) },
        { label: t("people.state"), show: (row) => badge(nameOf("invite_states", row.status), row.status === "pending" ? "info" : row.status === "accepted" ? "good" : "plain") },
        { label: t("people.sent"), show: (row) => date(row.created_at) },
        { label: t("people.until"), show: (row) => date(row.expires_at) },
        { label: t("ui.actions"), show: (row) => row.status === "pending" && button(t("people.revoke"), () => revoke(row), { class: "compact" }) },
      ],
    }), signal);
}

/** @param {() => void} done */
async function invite(done) {
  const made = /** @type {any} */ (await dialog({
    title: t("people.invite"),
    content: (close) => form({
      label: t("people.invite"),
      cancel: () => close(null),
      submit: async (values) => close(await api.post("/auth/invites", values, { idempotent: true })),
      fields: [
        field({ name: "email", label: t("sign_in.email"), type: "email", required: true, control: { autocomplete: "off", focus: true } }),
        roleField("agent"),
      ],
    }),
  }));
  if (made === null) return;
  done();
  await dialog({
    title: t("people.invited"),
    content: (close) => [h("p", null, t("people.link_lead", { email: made.invite.email })), h("p", { class: "secret-box" }, h("code", null, made.invite_link)),
      h("div", { class: "form-actions" }, copyButton(made.invite_link), button(t("ui.close"), () => close(null), { tone: "primary" }))],
  });
}
