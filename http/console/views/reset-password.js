// @ts-check
// Sets a new password with the token of an e-mail, which stays in the fragment of the address.

import { account } from "../account.js";
import { publicPost } from "../api.js";
import { h, replace } from "../dom.js";
import { anchor, go, link } from "../router.js";
import { t } from "../texts.js";
import { form, header, toast } from "../ui.js";
import { define, View } from "../view.js";
import { newPassword } from "./new-password.js";

class ResetPassword extends View {
  show() {
    const token = this.route.query.get("token") ?? "";
    const set = async (/** @type {any} */ { new_password }) => {
      await publicPost("/auth/reset-password", { token, new_password });
      if (account.user !== null) account.forget();
      toast(t("reset_password.done"));
      go(link("sign-in"));
    };
    replace(this, header(t("reset_password.title")), form({
      label: t("reset_password.button"),
      submit: set,
      fields: [newPassword("new_password", t("reset_password.password"), { focus: true })],
    }), h("p", { class: "guest-links" }, anchor(link("forgot-password"), null, t("reset_password.again"))));
  }
}

define("vy-reset-password", ResetPassword);
