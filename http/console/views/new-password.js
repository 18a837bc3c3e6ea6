// @ts-check
// The field of a new password, with what one has to be.

import { t } from "../texts.js";
import { field } from "../ui.js";

/** @param {string} name @param {string} label @param {import("../dom.js").Props} [control] */
export function newPassword(name, label, control) {
  return field({ name, label, hint: t("new_password.hint"), type: "password", required: true, control: { autocomplete: "new-password", minlength: 12, maxlength: 128, ...control } });
}
