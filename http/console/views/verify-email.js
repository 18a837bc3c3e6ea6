// @ts-check
// Confirms an e-mail address, or undoes its change. Opening the link changes nothing: the button sends the token.

import { account } from "../account.js";
import { publicPost } from "../api.js";
import { h, replace } from "../dom.js";
import { anchor, link } from "../router.js";
import { sentence, t } from "../texts.js";
import { form, header } from "../ui.js";
import { define, View } from "../view.js";

class VerifyEmail extends View {
  show() {
    const token = this.route.query.get("token") ?? "";
    const confirm = async () => {
      await publicPost("/auth/verify-email", { token });
      await account.restore().catch(() => false);
      const onward = account.user === null ? anchor(link("sign-in"), { class: "button primary" }, t("sign_in.title"))
        : anchor("#/", { class: "button primary" }, t("verify_email.onward"));
      replace(this, header(t("verify_email.title")), h("p", { role: "status" }, t("verify_email.done")), onward);
    };
    replace(this, header(t("verify_email.title"), { lead: t("verify_email.lead") }),
      form({ label: t("verify_email.button"), submit: confirm, fields: [], explain }),
      account.user === null && h("p", { class: "guest-links" }, anchor(link("sign-in"), null, t("verify_email.again"))));
  }
}

/** Why it was not confirmed. @param {any} error */
function explain(error) {
  if (error.code !== "token_invalid") return sentence(error);
  const { user } = account;
  return user === null ? t("verify_email.gone") : t(user.email_verified ? "verify_email.gone_verified" : "verify_email.gone_unverified", { email: user.email });
}

define("vy-verify-email", VerifyEmail);
