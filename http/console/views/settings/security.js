// @ts-check
// The second factor, and where one is signed in.

import { account } from "../../account.js";
import { api } from "../../api.js";
import { h, replace } from "../../dom.js";
import { dateTime, relative } from "../../format.js";
import { hold, mayLeave } from "../../router.js";
import { t } from "../../texts.js";
import { badge, button, busy, confirm, copyButton, dialog, field, form, load, printButton, section, table, toast } from "../../ui.js";
import { drawing } from "./qr.js";

/** @param {HTMLElement} body @param {AbortSignal} signal */
export function showSecurity(body, signal) {
  const factor = h("div", { class: "stack" });
  const sessions = h("div");
  replace(body, section(t("security.factor"), factor), section(t("security.sessions"), h("p", { class: "quiet" }, t("security.sessions_lead")), sessions));
  showFactor(factor, signal);
  showSessions(sessions, signal);
}

/** @param {HTMLElement} target @param {AbortSignal} signal */
function showFactor(target, signal) {
  const again = () => showFactor(target, signal);
  load(target, () => api.get("/auth/totp", {}, { signal }), ({ totp_enabled }) => totp_enabled
    ? [h("p", null, badge(t("security.on"), "good"), " ", t("security.on_lead")), h("div", null, button(t("security.turn_off"), () => turnOff(again)))]
    : [h("p", null, badge(t("security.off"), "warn"), " ", t("security.off_lead")),
       h("div", null, button(t("security.set_up"), (event) => busy(/** @type {HTMLButtonElement} */ (event.currentTarget), () => setUp(target, again, signal)), { tone: "primary" }))], signal);
}

/** @param {HTMLElement} target @param {() => void} again @param {AbortSignal} signal */
async function setUp(target, again, signal) {
  const seed = await api.post("/auth/totp/setup").catch((error) => {
    if (error.status === 409) again(); // it was set up in another tab
    throw error;
  });
  replace(target,
    h("ol", { class: "steps" },
      h("li", null, t("security.scan"), h("div", { class: "qr" }, drawing(seed.qr_modules, t("security.qr"))),
        h("p", { class: "small" }, t("security.by_hand"), " ", h("code", { class: "secret" }, seed.secret.match(/.{4}/g)?.join(" ")), " ", copyButton(seed.secret))),
      h("li", null, t("security.confirm"), form({
        label: t("security.turn_on"),
        cancel: again,
        submit: ({ code }) => turnOn(target, code, again, signal),
        fields: [field({ name: "code", label: t("sign_in.code"), required: true, control: { autocomplete: "one-time-code", inputmode: "numeric", maxlength: 8, spellcheck: "false" } })],
      }))));
  target.querySelector("input")?.focus();
}

/** Turns it on. From then until the recovery codes are kept, the view is not left unasked. @param {HTMLElement} target @param {string} code @param {() => void} done @param {AbortSignal} signal */
async function turnOn(target, code, done, signal) {
  const kept = new AbortController();
  const keep = () => kept.abort();
  hold(() => confirm({ title: t("security.leave_codes"), text: t("security.leave_codes_lead"), label: t("security.leave") }), AbortSignal.any([signal, kept.signal]));
  try {
    showCodes(target, (await api.post("/auth/totp/verify", { code })).recovery_codes ?? [], keep, done);
    addEventListener("afterprint", keep, { signal: kept.signal });
  } catch (error) {
    keep();
    throw error;
  }
}

/** @param {HTMLElement} target @param {string[]} codes @param {() => void} keep @param {() => void} done */
function showCodes(target, codes, keep, done) {
  replace(target, h("h3", { class: "on-paper" }, t("security.codes_of", { email: account.user?.email ?? "" })), h("p", { role: "status", tabindex: "-1" }, badge(t("security.on"), "good"), " ", t("security.codes_lead")),
    h("ul", { class: "codes mono" }, codes.map((code) => h("li", null, code))),
    h("div", { class: "actions" }, copyButton(codes.join("\n"), t("security.copy_codes"), keep), printButton(), button(t("security.codes_kept"), () => { keep(); done(); }, { tone: "primary" })));
  target.querySelector("p")?.focus();
}

/** @param {() => void} done */
async function turnOff(done) {
  const off = await dialog({
    title: t("security.turn_off"),
    content: (close) => [h("p", null, t("security.turn_off_lead")), form({
      label: t("security.turn_off"),
      tone: "danger",
      cancel: () => close(null),
      submit: async (values) => close(await api.post("/auth/totp/disable", values)),
      fields: [
        field({ name: "password", label: t("sign_in.password"), type: "password", required: true, control: { autocomplete: "current-password" } }),
        field({ name: "code", label: t("sign_in.code"), hint: t("sign_in.code_hint"), required: true, control: { autocomplete: "one-time-code", maxlength: 12 } }),
      ],
    })],
  });
  if (off !== null) done();
}

/** @param {HTMLElement} target @param {AbortSignal} signal */
function showSessions(target, signal) {
  const end = async (/** @type {any} */ session) => {
    const act = () => api.post(`/auth/sessions/${session.id}/revoke`, undefined, { idempotent: true });
    if (!(await confirm({ title: t("security.end"), text: t("security.end_lead", { device: device(session.user_agent) }), label: t("security.end"), act }))) return;
    toast(t("security.ended"));
    showSessions(target, signal);
  };
  load(target, () => api.get("/auth/sessions", {}, { signal }), ({ items }) => table({
    caption: t("security.sessions"),
    rows: items,
    columns: [
      { label: t("security.device"), head: true, show: (row) => device(row.user_agent) },
      { label: t("security.address"), show: (row) => row.ip ?? "–" },
      { label: t("security.since"), show: (row) => dateTime(row.created_at) },
      { label: t("security.used"), show: (row) => relative(row.last_used_at) },
      { label: t("ui.actions"), show: (row) => row.current ? [badge(t("security.this_one"), "info"), " ", button(t("app.sign_out"), async () => (await mayLeave()) && account.signOut(), { class: "compact" })] : button(t("security.end"), () => end(row), { class: "compact" }) },
    ],
  }), signal);
}

const BROWSERS = /** @type {[RegExp, string][]} */ ([[/Edg\//, "Edge"], [/OPR\//, "Opera"], [/Firefox\//, "Firefox"], [/Chrom(e|ium)\//, "Chrome"], [/Safari\//, "Safari"]]);
const SYSTEMS = /** @type {[RegExp, string][]} */ ([[/Android/, "Android"], [/iPhone|iPad/, "iOS"], [/Windows/, "Windows"], [/Mac OS X/, "macOS"], [/Linux|X11/, "Linux"]]);

/** Browser and system in words, if they are known. @param {string | null} agent */
function device(agent) {
  const [browser, system] = [BROWSERS, SYSTEMS].map((known) => known.find(([pattern]) => pattern.test(agent ?? ""))?.[1]);
  return browser && system ? `${browser}, ${system}` : agent || t("security.unknown");
}
