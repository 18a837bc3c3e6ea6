// @ts-check
// Enquiries: the board and the list, one enquiry, and the form for it.

import { account } from "../account.js";
import { h, replace } from "../dom.js";
import { anchor, link } from "../router.js";
import { t } from "../texts.js";
import { forbidden, header } from "../ui.js";
import { define, View } from "../view.js";
import { newEnquiry, editEnquiry } from "./enquiry-form.js";
import { enquiryPage } from "./enquiry-page.js";
import { overview } from "./enquiry-overview.js";

class Enquiries extends View {
  show() {
    const [id, part] = this.route.parts;
    if (id === undefined) overview(this);
    else if ((id === "new" || part === "edit") && !account.may("write")) this.#readOnly(id);
    else if (id === "new") newEnquiry(this);
    else if (part === "edit") editEnquiry(this, id);
    else enquiryPage(this, id);
  }

  /** @param {string} id */
  #readOnly(id) {
    const isNew = id === "new";
    const back = isNew ? anchor(link("enquiries"), null, t("enquiries.all")) : anchor(link("enquiries", id), null, t("enquiries.to_it"));
    replace(this, h("p", { class: "back" }, back), header(t(isNew ? "enquiries.new" : "enquiries.edit_any")), forbidden("write"));
  }
}

define("vy-enquiries", Enquiries);
