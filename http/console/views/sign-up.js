// @ts-check
// A new agency and its first admin.

import { account } from "../account.js";
import { publicPost } from "../api.js";
import { h, replace } from "../dom.js";
import { anchor, link } from "../router.js";
import { t } from "../texts.js";
import { field, form, header } from "../ui.js";
import { define, View } from "../view.js";
import { newPassword } from "./new-password.js";

class SignUp extends View {
  show() {
    replace(this, header(t("sign_up.title"), { lead: t("sign_up.lead") }), form({
      label: t("sign_up.button"),
      submit: async (values) => account.enter(await publicPost("/auth/sign-up", values)),
      fields: [
        field({ name: "agency_name", label: t("sign_up.agency"), required: true, control: { autocomplete: "organization", maxlength: 120, focus: true } }),
        field({ name: "full_name", label: t("sign_up.name"), required: true, control: { autocomplete: "name", maxlength: 120 } }),
        field({ name: "email", label: t("sign_in.email"), type: "email", required: true, control: { autocomplete: "username" } }),
        newPassword("password", t("sign_in.password")),
      ],
    }), h("p", { class: "guest-links" }, anchor(link("sign-in"), null, t("sign_up.known"))));
  }
}

define("vy-sign-up", SignUp);
