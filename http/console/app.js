// @ts-check
// The start: who is signed in, in which language, and which view the address names.

import { account } from "./account.js";
import { replace } from "./dom.js";
import { HOME, link, start, VIEWS } from "./router.js";
import { admits, Shell } from "./shell.js";
import { likelyLocale, setLocale } from "./texts.js";
import * as tokens from "./tokens.js";
import { failure } from "./ui.js";

const shell = new Shell();
let first = true;

/** Where a route leads instead, if the person may not see it. @param {import("./router.js").Route} route */
function admit(route) {
  const view = VIEWS[route.name];
  if (account.user === null && !view?.open) return link("sign-in", { next: route.name ? location.hash.slice(1) : null });
  if (account.user !== null && (view === undefined || !admits(route.name) || route.name === "sign-in")) return route.query.get("next") ? `#${route.query.get("next")}` : link(HOME);
  return view === undefined ? link("sign-in") : null;
}

/** @param {import("./router.js").Route} route */
function shown(route) {
  shell.shown(route.name);
  if (!first || document.querySelector("[data-focus]")) shell.focus();
  first = false;
}

/** The page again: after a sign-in, a sign-out, or a change of language. */
function rebuild() {
  if (account.user === null) shell.signedOut();
  else shell.signedIn();
  replace(shell.outlet);
  dispatchEvent(new HashChangeEvent("hashchange"));
}

async function boot() {
  await setLocale(likelyLocale());
  try {
    await account.restore();
  } catch (error) {
    shell.signedOut();
    replace(shell.outlet, failure(error, boot));
    return;
  }
  if (account.user === null) shell.signedOut();
  else shell.signedIn();
  await start(shell.outlet, { admit, shown, failed: (retry) => failure(new Error("stale"), retry) });
}

account.addEventListener("entered", rebuild);
account.addEventListener("translated", rebuild);
account.addEventListener("left", rebuild);
account.addEventListener("changed", () => account.user !== null && shell.update());
tokens.tabs.addEventListener("signed-out", () => account.left());
tokens.tabs.addEventListener("signed-in", () => location.reload());
boot();
