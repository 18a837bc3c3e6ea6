// @ts-check

import { replace } from "../dom.js";
import { t } from "../texts.js";
import { header } from "../ui.js";
import { define, View } from "../view.js";

class Settings extends View {
  show() {
    replace(this, header(t("settings.title")));
  }
}

define("vy-settings", Settings);
