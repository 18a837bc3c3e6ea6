// @ts-check
// The start: who is signed in, in which language, and which view the address names.

import { account } from "./account.js";
import { Problem, publicGet } from "./api.js";
import { h, replace } from "./dom.js";
import { exists, HOME, link, start, VIEWS } from "./router.js";
import { admits, missing, refusal, Shell } from "./shell.js";
import { likelyLocale, setLocale, t } from "./texts.js";
import * as tokens from "./tokens.js";
import { failure, toast, waiting } from "./ui.js";

const shell = new Shell();
let first = true;

/** Where a route leads instead, if the person may not see it. @param {import("./router.js").Route} route */
function admit(route) {
  if (!exists(route)) return null;
  const view = VIEWS[route.name];
  if (view?.open === "all") return null;
  if (account.user === null) return view?.open ? null : link("sign-in", { next: route.name ? location.hash.slice(1) : null });
  if (view !== undefined && !view.open && admits(route.name)) return null;
  const next = route.name === "sign-in" ? route.query.get("next") : null;
  return next !== null && next !== location.hash.slice(1) ? `#${next}` : home();
}

/** Until the address is verified there is only the account to see. */
function home() {
  return account.agency === null ? link("settings") : link(HOME);
}

/** The links of e-mails name a view by the path: from here on it is in the fragment, its token too, which is sent nowhere. What is no view goes there to be reported. */
function fromPath() {
  const name = location.pathname.split("/").at(-1) ?? "";
  if (name !== "") history.replaceState(null, "", Object.hasOwn(VIEWS, name) ? `./${link(name, { token: new URLSearchParams(location.search).get("token") })}` : `./#/${name}`);
}

/** @param {import("./router.js").Route} route */
function shown(route) {
  shell.shown(exists(route) ? route.name : "missing");
  if (!first || document.querySelector("[data-focus]")) shell.focus();
  first = false;
}

/** The page again: after a sign-in, a sign-out, or a change of language. */
function rebuild() {
  replace(shell.outlet);
  if (account.user === null) shell.signedOut();
  else shell.signedIn();
  dispatchEvent(new HashChangeEvent("hashchange"));
}

/** What stands in place of a view whose files do not come: there is no network, or a newer console is served. Both take a reload, which needs the service. */
function failed() {
  const place = h("div");
  const say = (/** @type {unknown} */ error) => replace(place, failure(error, () => reach(() => location.reload())));
  const reach = (/** @type {() => void} */ then) => publicGet("/health", {}).then(then, say);
  reach(() => say(new Problem(0, "stale")));
  return place;
}

async function boot() {
  fromPath();
  try {
    await setLocale(likelyLocale());
  } catch {
    shell.signedOut();
    replace(shell.outlet, failed());
    return;
  }
  try {
    await account.restore();
  } catch (error) {
    shell.signedOut();
    replace(shell.outlet, failure(error, boot));
    return;
  }
  if (account.user === null) shell.signedOut();
  else shell.signedIn();
  await start(shell.outlet, { admit, refused: (route) => (exists(route) ? refusal(route.name) : missing(route, home())), shown, waiting, failed });
}

account.addEventListener("entered", rebuild);
account.addEventListener("translated", rebuild);
account.addEventListener("left", rebuild);
account.addEventListener("changed", () => account.user !== null && shell.update());
tokens.tabs.addEventListener("signed-out", () => {
  if (account.user === null) return;
  account.left();
  toast(t("app.ended"));
});
tokens.tabs.addEventListener("signed-in", () => location.reload());
boot();
