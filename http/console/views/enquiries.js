// @ts-check
// Enquiries: the board and the list, one enquiry, and the form for it.

import { define, View } from "../view.js";
import { newEnquiry, editEnquiry } from "./enquiry-form.js";
import { enquiryPage } from "./enquiry-page.js";
import { overview } from "./enquiry-overview.js";

class Enquiries extends View {
  show() {
    const [id, part] = this.route.parts;
    if (id === undefined) overview(this);
    else if (id === "new") newEnquiry(this);
    else if (part === "edit") editEnquiry(this, id);
    else enquiryPage(this, id);
  }
}

define("vy-enquiries", Enquiries);
