// @ts-check

import { replace } from "../dom.js";
import { t } from "../texts.js";
import { header } from "../ui.js";
import { define, View } from "../view.js";

class Audit extends View {
  show() {
    replace(this, header(t("audit.title")));
  }
}

define("vy-audit", Audit);
