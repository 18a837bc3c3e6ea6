// @ts-check
// API keys: made, shown once, revoked.

import { account } from "../../account.js";
import { api } from "../../api.js";
import { h, replace } from "../../dom.js";
import { date, relative } from "../../format.js";
import { t } from "../../texts.js";
import { badge, button, confirm, copyButton, dialog, empty, field, form, load, section, table, toast } from "../../ui.js";

/** @param {HTMLElement} body @param {AbortSignal} signal */
export function showKeys(body, signal) {
  const list = h("div");
  const again = () => showList(list, signal);
  replace(body, section(t("settings.api_keys"), h("p", { class: "quiet" }, t("api_keys.lead")),
    account.may("write") && h("div", null, button(t("api_keys.create"), () => create(again), { tone: "primary" })), list));
  again();
}

/** @param {HTMLElement} target @param {AbortSignal} signal */
function showList(target, signal) {
  load(target, () => api.get("/auth/api-keys", {}, { signal }), ({ items }) => items.length === 0
    ? empty({ title: t("api_keys.none"), text: account.may("write") && t("api_keys.none_lead") })
    : table({
      caption: t("settings.api_keys"),
      rows: items,
      columns: [
        { label: t("api_keys.name"), head: true, show: (row) => row.name },
        { label: t("api_keys.prefix"), show: (row) => h("code", null, `vy_${row.prefix}_…`) },
        { label: t("api_keys.created"), show: (row) => date(row.created_at) },
        { label: t("api_keys.used"), show: (row) => row.last_used_at === null ? t("api_keys.never") : relative(row.last_used_at) },
        { label: t("api_keys.state"), show: state },
        { label: t("ui.actions"), show: (row) => active(row) && button(t("api_keys.revoke"), () => revoke(row, () => showList(target, signal)), { class: "compact" }) },
      ],
    }), signal);
}

/** @param {any} key */
function active(key) {
  return key.revoked_at === null && (key.expires_at === null || Date.parse(key.expires_at) > Date.now());
}

/** @param {any} key */
function state(key) {
  if (key.revoked_at !== null) return badge(t("api_keys.revoked"));
  if (!active(key)) return badge(t("api_keys.expired"));
  return badge(key.expires_at === null ? t("api_keys.active") : t("api_keys.until", { day: date(key.expires_at) }), "good");
}

/** @param {() => void} done */
async function create(done) {
  const made = await dialog({
    title: t("api_keys.create"),
    content: (close) => form({
      label: t("api_keys.create"),
      cancel: () => close(null),
      submit: async ({ name, expires_in_days }) => close(await api.post("/auth/api-keys", { name, expires_in_days: expires_in_days === "" ? null : Number(expires_in_days) }, { idempotent: true })),
      fields: [
        field({ name: "name", label: t("api_keys.name"), hint: t("api_keys.name_hint"), required: true, control: { maxlength: 120, focus: true } }),
        field({ name: "expires_in_days", label: t("api_keys.lifetime"), options: [["90", t("api_keys.days", { n: 90 })], ["365", t("api_keys.days", { n: 365 })], ["", t("api_keys.forever")]], value: "90" }),
      ],
    }),
  });
  if (made === null) return;
  done();
  await dialog({
    title: t("api_keys.made"),
    content: (close) => [h("p", null, t("api_keys.once")), h("p", { class: "secret-box" }, h("code", null, /** @type {any} */ (made).key)),
      h("div", { class: "form-actions" }, copyButton(/** @type {any} */ (made).key), button(t("api_keys.kept"), () => close(null), { tone: "primary" }))],
  });
}

/** @param {any} key @param {() => void} done */
async function revoke(key, done) {
  const act = () => api.post(`/auth/api-keys/${key.id}/revoke`, undefined, { idempotent: true });
  if (!(await confirm({ title: t("api_keys.revoke"), text: t("api_keys.revoke_lead", { name: key.name }), label: t("api_keys.revoke"), act }))) return;
  toast(t("api_keys.revoked"));
  done();
}
