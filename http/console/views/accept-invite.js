// @ts-check
// Shows who invites to which agency, and makes the account.

import { account } from "../account.js";
import { publicGet, publicPost } from "../api.js";
import { h, replace } from "../dom.js";
import { dateTime } from "../format.js";
import { anchor, link } from "../router.js";
import { nameOf, t } from "../texts.js";
import { field, form, header, load } from "../ui.js";
import { define, View } from "../view.js";
import { newPassword } from "./new-password.js";

class AcceptInvite extends View {
  show() {
    const token = this.route.query.get("token") ?? "";
    const body = h("div", { class: "stack" });
    replace(this, header(t("accept_invite.title")), body);
    load(body, () => publicGet("/auth/invites/lookup", { token }), (invite) => this.#form(token, invite), this.signal);
    if (account.user === null) this.append(h("p", { class: "guest-links" }, anchor(link("sign-in"), null, t("sign_up.known"))));
  }

  /** @param {string} token @param {any} invite */
  #form(token, { email, role, tenant_name, inviter_email, expires_at }) {
    const other = account.user?.email;
    return [
      h("p", null, t("accept_invite.lead", { inviter: inviter_email, agency: tenant_name, role: nameOf("roles", role) })),
      h("p", { class: "quiet small" }, t("accept_invite.until", { email, time: dateTime(expires_at) })),
      other && h("p", { class: "problem" }, t("accept_invite.other", { email: other })),
      form({
        label: t("accept_invite.button"),
        submit: async (values) => account.enter(await publicPost("/auth/accept-invite", { token, ...values })),
        fields: [
          field({ name: "full_name", label: t("sign_up.name"), required: true, control: { autocomplete: "name", maxlength: 120 } }),
          newPassword("password", t("sign_in.password")),
        ],
      }),
    ];
  }
}

define("vy-accept-invite", AcceptInvite);
