// @ts-check
// One's own name, address and password.

import { account } from "../../account.js";
import { api } from "../../api.js";
import { h, replace } from "../../dom.js";
import { nameOf, t } from "../../texts.js";
import * as tokens from "../../tokens.js";
import { field, form, section, toast } from "../../ui.js";
import { newPassword } from "../new-password.js";

/** @param {HTMLElement} body */
export function showProfile(body) {
  const user = /** @type {import("../../account.js").User} */ (account.user);
  replace(body,
    section(t("profile.who"), h("p", { class: "quiet" }, t("profile.role", { role: nameOf("roles", user.role), agency: user.tenant_name })), form({
      label: t("ui.save"),
      submit: save,
      fields: [
        field({ name: "full_name", label: t("sign_up.name"), value: user.full_name, required: true, control: { autocomplete: "name", maxlength: 120 } }),
        field({ name: "email", label: t("sign_in.email"), type: "email", value: user.email, required: true, hint: t("profile.email_hint"), control: { autocomplete: "email" } }),
      ],
    })),
    passwordSection());
}

/** @param {any} values */
async function save({ full_name, email }) {
  const answer = await api.patch("/auth/profile", { full_name, email });
  account.changed(answer.user);
  toast(answer.email_verification_required ? t("profile.verify", { email: answer.user.email }) : t("ui.saved"));
}

function passwordSection() {
  const made = form({
    label: t("profile.change_password"),
    submit: async ({ current_password, new_password }) => {
      tokens.replaced(await api.post("/auth/change-password", { current_password, new_password }));
      made.reset();
      toast(t("profile.password_changed"));
    },
    fields: [
      field({ name: "current_password", label: t("profile.current_password"), type: "password", required: true, control: { autocomplete: "current-password" } }),
      newPassword("new_password", t("reset_password.password")),
    ],
  });
  return section(t("sign_in.password"), h("p", { class: "quiet" }, t("profile.password_lead")), made);
}
