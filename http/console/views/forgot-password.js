// @ts-check
// Asks for the e-mail that sets a new password. The answer is the same whether or not there is an account.

import { account } from "../account.js";
import { publicPost } from "../api.js";
import { h, replace } from "../dom.js";
import { anchor, link } from "../router.js";
import { t } from "../texts.js";
import { field, form, header } from "../ui.js";
import { define, View } from "../view.js";

class ForgotPassword extends View {
  show() {
    const back = account.user === null && h("p", { class: "guest-links" }, anchor(link("sign-in"), null, t("forgot_password.back")));
    const sent = async (/** @type {any} */ { email }) => {
      await publicPost("/auth/request-password-reset", { email });
      replace(this, header(t("forgot_password.title")), h("p", { role: "status" }, t("forgot_password.sent", { email })), back);
    };
    replace(this, header(t("forgot_password.title"), { lead: t("forgot_password.lead") }), form({
      label: t("forgot_password.button"),
      submit: sent,
      fields: [field({ name: "email", label: t("sign_in.email"), type: "email", required: true, value: this.route.query.get("email"), control: { autocomplete: "username", focus: true } })],
    }), back);
  }
}

define("vy-forgot-password", ForgotPassword);
