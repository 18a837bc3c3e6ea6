// @ts-check
// E-mail and password; a second step asks for the code of a second factor, if the account has one.

import { account } from "../account.js";
import { h, replace } from "../dom.js";
import { anchor, link } from "../router.js";
import { sentence, t } from "../texts.js";
import { button, field, form, header, toast } from "../ui.js";
import { define, View } from "../view.js";

class SignIn extends View {
  show() {
    const send = async (/** @type {any} */ credentials) => {
      try {
        await account.signIn({ email: credentials.email, password: credentials.password });
      } catch (error) {
        if (/** @type {any} */ (error).code !== "totp_required") throw error;
        this.#askCode(credentials);
      }
    };
    replace(this, header(t("sign_in.title")), form({
      label: t("sign_in.button"),
      submit: send,
      fields: [
        field({ name: "email", label: t("sign_in.email"), type: "email", required: true, control: { autocomplete: "username", focus: true } }),
        field({ name: "password", label: t("sign_in.password"), type: "password", required: true, control: { autocomplete: "current-password" } }),
      ],
    }), h("p", { class: "guest-links" }, anchor(link("forgot-password"), null, t("sign_in.forgot")), anchor(link("sign-up"), null, t("sign_in.sign_up"))));
  }

  /** @param {{ email: string, password: string }} credentials */
  #askCode({ email, password }) {
    replace(this, header(t("sign_in.code_title"), { lead: t("sign_in.code_lead") }), form({
      label: t("sign_in.button"),
      submit: async ({ totp_code }) => {
        const left = await account.signIn({ email, password, totp_code });
        if (left !== null) toast(t("sign_in.codes_left", { n: left }));
      },
      explain: (error) => error.code === "totp_invalid" && !isOfApp(this) ? t("sign_in.recovery_wrong") : sentence(error),
      fields: [
        field({ name: "totp_code", label: t("sign_in.code"), hint: t("sign_in.code_hint"), required: true, control: { autocomplete: "one-time-code", focus: true, maxlength: 12, spellcheck: "false" } }),
      ],
    }), button(t("sign_in.back"), () => this.show(), { tone: "quiet" }));
    /** @type {HTMLElement | null} */ (this.querySelector("input"))?.focus();
  }
}

/** Whether what was entered is a code of the app: six digits, perhaps with spaces. @param {HTMLElement} view */
function isOfApp(view) {
  return /^\s*(\d\s*){6}$/.test(/** @type {HTMLInputElement} */ (view.querySelector("input")).value);
}

define("vy-sign-in", SignIn);
