// @ts-check
// The start of a conversation: the desk it is for, if one knows, and the first message.

import { account } from "../account.js";
import { api } from "../api.js";
import { h, replace } from "../dom.js";
import { today } from "../format.js";
import { anchor, go, link } from "../router.js";
import { nameOf, sentence, t } from "../texts.js";
import { button, forbidden, header, id as newId, toast, waiting } from "../ui.js";
import { define, View } from "../view.js";
import { Composer } from "./composer.js";

const DESKS = ["", "ticketing_visa", "hotels_holidays", "accounting"];
const EXAMPLES = /** @type {Record<string, string[]>} */ ({
  "": ["flight", "hotel", "invoice"], ticketing_visa: ["flight", "return_flight", "visa"], hotels_holidays: ["hotel"], accounting: ["invoice", "open_invoices", "tax_rates"],
});

/** The first message of a conversation that was just made: its page sends it. */
export const first = {
  /** @type {{ id: string, text: string } | null} */
  waiting: null,

  /** @param {string} id @returns {string | null} */
  take(id) {
    if (this.waiting?.id !== id) return null;
    const { text } = this.waiting;
    this.waiting = null;
    return text;
  },
};

class NewConversation extends View {
  #desk = "";
  #examples = h("div", { class: "examples" });
  #starting = false;

  show() {
    const back = h("p", { class: "back" }, anchor(link("conversations"), null, t("conversations.all")));
    if (!account.may("write")) return replace(this, back, header(t("conversations.new")), forbidden("write"));
    const group = newId("desk");
    const composer = new Composer({ place: "new", label: t("conversations.message"), placeholder: t("conversations.placeholder"), focus: true, send: (text) => this.#start(text, composer) });
    replace(this, back, header(t("conversations.new"), { lead: t("conversations.new_words") }),
      h("div", { class: "stack" },
        h("fieldset", { class: "desks" }, h("legend", null, t("conversations.desk")), DESKS.map((desk) => h("label", { class: "desk" },
          h("input", { type: "radio", name: group, value: desk, checked: desk === "", on: { change: () => { this.#desk = desk; this.#suggest(composer); } } }), h("span", null, h("strong", null, t(`desk_names.${desk || "any"}`)), h("small", { class: "quiet" }, t(`desk_words.${desk || "any"}`)))))),
        composer.element, this.#examples));
    this.#suggest(composer);
  }

  /** @param {Composer} composer */
  #suggest(composer) {
    const values = { day: today(60), later: today(67), name: account.user?.full_name ?? "Asha Rao" };
    replace(this.#examples, h("h2", { class: "small quiet" }, t("conversations.examples")), EXAMPLES[this.#desk].map((name) => {
      const text = t(`examples.${name}`, values);
      return button(text, () => composer.propose(text), { class: "example" });
    }));
  }

  /** @param {string} text @param {Composer} composer */
  async #start(text, composer) {
    if (this.#starting) return composer.propose(text);
    this.#starting = true;
    replace(this.#examples, waiting(t("conversations.sending")));
    try {
      const { session_id: made } = await api.post("/chat/sessions", undefined, { idempotent: true });
      if (!this.isConnected) return composer.propose(text); // as a draft for later
      first.waiting = { id: made, text: this.#desk ? t("conversations.for_desk", { desk: nameOf("desks", this.#desk), text }) : text };
      go(link("conversations", made), { replace: true });
    } catch (error) {
      composer.propose(text);
      this.#suggest(composer);
      toast(sentence(error), "bad");
    } finally {
      this.#starting = false;
    }
  }
}

define("vy-new-conversation", NewConversation);
