// @ts-check
// What stands around every view: navigation by subject, the account's menu, and the outlet.

import { account } from "./account.js";
import { api } from "./api.js";
import { h, replace } from "./dom.js";
import { dateTime } from "./format.js";
import { icon } from "./icons.js";
import { anchor, link, mayLeave } from "./router.js";
import { nameOf, t } from "./texts.js";
import { badge, button, forbidden, header, menu, toast, unseen } from "./ui.js";

/** Views in the order of the navigation, with what a role needs to see them. @type {[name: string, act: string][]} */
const SUBJECTS = [
  ["conversations", "read"],
  ["enquiries", "read"],
  ["approvals", "read"],
  ["itinerary", "read"],
  ["reports", "read"],
  ["audit", "audit"],
  ["settings", "read"],
];
const POLL_SECONDS = 15;

/** Whether there is such a view for the person; while the address is not verified, the settings alone. @param {string} name */
export function admits(name) {
  return actOf(name) !== undefined && (account.agency !== null || name === "settings");
}

/** What a role needs to see a view. @param {string} name */
function actOf(name) {
  return SUBJECTS.find(([each]) => each === name)?.[1];
}

/** What stands for a view that the person's role may not open. @param {string} name @returns {Node | null} */
export function refusal(name) {
  const act = actOf(name);
  return act === undefined || account.user === null || account.may(act) ? null : h("div", null, header(t(`${name}.title`)), forbidden("administer"));
}

/** What stands at an address that does not exist. @param {import("./router.js").Route} route @param {string} home */
export function missing({ name, parts }, home) {
  return h("div", null, header(t("missing.title")), h("div", { class: "failure", role: "alert" },
    h("p", null, t("missing.text", { address: ["#", name, ...parts].join("/") })), anchor(home, { class: "button" }, t("missing.home"))));
}

/** The page around the views, and what keeps it current. */
export class Shell {
  outlet = h("main", { id: "main", class: "main", tabindex: "-1" });
  #count = h("span", { class: "count-badge", "aria-hidden": "true", hidden: true });
  #waiting = unseen("");
  #links = /** @type {Map<string, HTMLAnchorElement>} */ (new Map());
  #side = h("nav", { class: "side" });
  #paper = h("p", { class: "on-paper paper-head" });
  #notice = h("div", { class: "notice", hidden: true });
  #opener = button([icon("menu"), h("span", { class: "hidden-words" })], () => this.#toggle(!this.#isOpen), { tone: "quiet", class: "opener", "aria-expanded": "false" });
  #name = h("span", { class: "top-name" });
  #late = new MutationObserver(() => this.#headed());
  #alert = anchor(link("approvals"), { class: "top-alert", hidden: true });
  #present = "";
  #timer = 0;
  /** How often the count was asked for: an older answer is ignored. */
  #counts = 0;

  constructor() {
    addEventListener("beforeprint", () => this.#headPaper());
    addEventListener("vy-approvals", () => this.#recount());
    document.addEventListener("visibilitychange", () => document.visibilityState === "visible" && this.#reread());
    document.addEventListener("focusin", ({ target }) => reveal(/** @type {HTMLElement} */ (target)));
    document.addEventListener("keydown", ({ key }) => {
      if (key !== "Escape" || !this.#isOpen) return;
      this.#toggle(false);
      this.#opener.focus();
    });
    document.addEventListener("click", ({ target }) => {
      if (target instanceof Node && !this.#side.contains(target) && !this.#opener.contains(target)) this.#toggle(false);
    });
  }

  /** The page for a person who has signed in. */
  signedIn() {
    replace(document.body, this.#skip(), h("header", { class: "top" }, this.#opener, this.#name, this.#alert), this.#side,
      h("div", { class: "page" }, this.#paper, this.#notice, this.outlet));
    document.body.className = "signed-in";
    this.update();
    clearInterval(this.#timer);
    this.#show(0); // not what waits at another agency
    this.#timer = setInterval(() => document.visibilityState === "visible" && this.#recount(), POLL_SECONDS * 1000);
    this.#recount();
  }

  /** Shows who is signed in, and at which agency, after either has changed. */
  update() {
    this.#opener.setAttribute("aria-label", t("app.menu"));
    this.#name.textContent = account.user?.tenant_name ?? "";
    this.#side.setAttribute("aria-label", t("app.navigation"));
    replace(this.#side, this.#brand(), this.#subjects(), this.#accountMenu());
    this.#verifyNotice();
    this.#headPaper();
    this.#mark();
  }

  /** The page for a person who has not. */
  signedOut() {
    clearInterval(this.#timer);
    replace(document.body, this.#skip(), h("header", { class: "guest-head" }, h("span", { class: "brand" }, "Voyagent")), this.outlet);
    document.body.className = "guest";
  }

  /** Marks the view that is shown. @param {string} name */
  shown(name) {
    this.#present = name;
    this.#mark();
    document.title = `${t(`${name.replaceAll("-", "_")}.title`)} · Voyagent`;
    this.#toggle(false);
  }

  /** Puts the focus at the head of a view that was just opened, so that screen readers begin there; when it comes, if it has to be read first. */
  focus() {
    this.#late.disconnect();
    const head = this.#head();
    if (head === null) this.#late.observe(this.outlet, { childList: true, subtree: true });
    (head ?? this.outlet).focus({ preventScroll: true });
    scrollTo(0, 0);
  }

  /** @returns {HTMLElement | null} */
  #head() {
    return this.outlet.querySelector("[data-focus]") ?? this.outlet.querySelector("h1");
  }

  #headed() {
    const head = this.#head();
    if (head === null) return;
    this.#late.disconnect();
    if (document.activeElement === this.outlet || document.activeElement === document.body) head.focus({ preventScroll: true });
  }

  #mark() {
    for (const [name, shown] of this.#links) {
      if (name === this.#present) shown.setAttribute("aria-current", "page");
      else shown.removeAttribute("aria-current");
    }
  }

  #skip() {
    return h("a", { class: "skip", href: "#main", on: { click: (/** @type {Event} */ event) => { event.preventDefault(); this.outlet.focus(); } } }, t("app.skip"));
  }

  #brand() {
    return h("div", { class: "brand" }, h("strong", null, account.user?.tenant_name), h("span", null, "Voyagent"));
  }

  /** Whose paper it is, and of when. */
  #headPaper() {
    replace(this.#paper, h("strong", null, account.user?.tenant_name), h("span", null, t("app.printed", { time: dateTime(new Date().toISOString()) })));
  }

  #subjects() {
    return h("ul", { class: "subjects" }, SUBJECTS.filter(([name, act]) => admits(name) && account.may(act)).map(([name]) => {
      const shown = anchor(link(name), { class: "subject" }, icon(name), h("span", null, t(`${name}.title`)), name === "approvals" && [this.#count, this.#waiting]);
      this.#links.set(name, shown);
      return h("li", null, shown);
    }));
  }

  #accountMenu() {
    const user = account.user;
    const name = user?.full_name ?? user?.email ?? "";
    return menu({
      label: [icon("account"), h("span", { class: "who" }, h("span", null, name), h("small", null, nameOf("roles", user?.role ?? "")))],
      items: [
        anchor(link("settings", "profile"), null, t("app.profile")),
        anchor(link("settings", "security"), null, t("app.security")),
        button(t("app.sign_out"), async () => (await mayLeave()) && account.signOut()),
      ],
    });
  }

  #verifyNotice() {
    this.#notice.hidden = account.agency !== null;
    replace(this.#notice, badge(t("app.unverified"), "warn"), h("span", null, t("app.verify_first", { email: account.user?.email ?? "" })),
      button(t("app.send_again"), async () => {
        await api.post("/auth/send-verification-email");
        toast(t("app.sent_again"));
      }));
  }

  get #isOpen() {
    return this.#side.classList.contains("open");
  }

  /** @param {boolean} open */
  #toggle(open) {
    this.#side.classList.toggle("open", open);
    this.#opener.setAttribute("aria-expanded", String(open));
  }

  /** What may have changed while the page was hidden: the address may have been verified in another tab. */
  async #reread() {
    if (account.user !== null && account.agency === null) await account.restore().catch(() => null);
    await this.#recount();
  }

  async #recount() {
    if (account.agency === null) return;
    const mine = ++this.#counts;
    const found = await api.get("/approvals", { status: "pending", limit: 1 }).catch(() => null);
    if (found === null || mine !== this.#counts) return;
    this.#show(found.total);
  }

  /** How many approvals wait. @param {number} n */
  #show(n) {
    const waiting = t("app.approvals_waiting", { n });
    this.#count.textContent = String(n);
    this.#count.hidden = this.#alert.hidden = n === 0;
    this.#waiting.textContent = n === 0 ? "" : ` ${waiting}`;
    this.#alert.setAttribute("aria-label", `${t("approvals.title")}: ${waiting}`);
    replace(this.#alert, icon("approvals"), String(n));
  }
}

/** Brings all of what the keyboard has reached into view: browsers are content with a part of it. @param {HTMLElement} reached */
function reveal(reached) {
  if (reached.tabIndex >= 0 && reached.matches(":focus-visible")) reached.scrollIntoView({ block: "nearest", inline: "nearest" });
}
