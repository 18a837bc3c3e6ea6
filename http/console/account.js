// @ts-check
// Who is signed in: the person, the agency's settings, and what the role may do.

import { api, publicPost } from "./api.js";
import { setPlace } from "./format.js";
import { setLocale } from "./texts.js";
import * as tokens from "./tokens.js";

/**
 * @typedef {{ id: string, email: string, full_name: string | null, role: string, tenant_id: string, tenant_name: string, created_at: string, email_verified: boolean }} User
 * @typedef {{ locale: string, timezone: string, default_currency: string, [name: string]: any }} Agency
 */

const LEADS = new Set(["agency_admin", "ticketing_lead", "accounting_lead"]);
const LAST_WORD_MS = 3_000; // what the service is given to take a sign-out
const TRAVEL_TOOLS = new Set(["book_flight", "issue_ticket", "cancel_flight_order", "book_hotel", "cancel_hotel_booking"]);

/** What each act takes. @type {Record<string, (role: string, subject?: string) => boolean>} */
const RULES = {
  read: () => true,
  write: (role) => role !== "viewer",
  decide: decides,
  usage: (role) => LEADS.has(role),
  audit: (role) => role === "agency_admin",
  administer: (role) => role === "agency_admin",
};

/** @param {string} role @param {string} [tool] */
function decides(role, tool) {
  if (tool === undefined || role === "agency_admin") return LEADS.has(role);
  return role === leadOf(tool);
}

/** The role beside the admin that decides about a tool's calls. @param {string} tool */
export function leadOf(tool) {
  return TRAVEL_TOOLS.has(tool) ? "ticketing_lead" : "accounting_lead";
}

class Account extends EventTarget {
  /** @type {User | null} */
  user = null;
  /** Settings of the agency; null before they are read, and for a person whose address is not verified. @type {Agency | null} */
  agency = null;

  /** How often a login session has ended: what was read for an earlier one is dropped. */
  #ended = 0;

  /** Whether the person's role may do `act`: read, write, decide, usage, audit, administer. `decide` takes a tool's name. @param {string} act @param {string} [subject] */
  may(act, subject) {
    return this.user !== null && RULES[act](this.user.role, subject);
  }

  /** Reads person and agency for the tokens that are stored. False when nobody is signed in. */
  async restore() {
    if (!tokens.present()) return false;
    try {
      await this.#read();
    } catch (error) {
      if (tokens.present()) throw error;
      return false;
    }
    return true;
  }

  /** Signs in; the number of recovery codes left if one was used. @param {{ email: string, password: string, totp_code?: string }} credentials @returns {Promise<number | null>} */
  async signIn(credentials) {
    const answer = await publicPost(credentials.totp_code ? "/auth/sign-in-totp" : "/auth/sign-in", credentials);
    await this.enter(answer);
    return answer.recovery_codes_left ?? null;
  }

  /** Goes on with the tokens of a sign-in, sign-up or accepted invite. A login session there was is ended first. @param {any} answer */
  async enter(answer) {
    if (this.user !== null) await this.#end();
    this.#ended += 1;
    tokens.begin(answer);
    try {
      await this.#read();
    } catch {
      return location.reload(); // signed in all the same: the start reads both again, or says why it cannot
    }
    this.dispatchEvent(new Event("entered"));
  }

  /** Ends the login session; the tokens are forgotten even if the service cannot be told. */
  async signOut() {
    await Promise.race([this.#end(), new Promise((resolve) => setTimeout(resolve, LAST_WORD_MS))]);
    this.forget();
  }

  /** Forgets a login session that was ended elsewhere, in all tabs. */
  forget() {
    tokens.end();
    this.left();
  }

  async #end() {
    await api.post("/auth/sign-out", { refresh_token: tokens.refreshToken() }).catch(() => null);
  }

  /** The login session has ended, here or elsewhere. */
  left() {
    this.#ended += 1;
    this.user = this.agency = null;
    setPlace();
    this.dispatchEvent(new Event("left"));
  }

  /** Takes over a changed person. @param {User} user */
  changed(user) {
    this.user = user;
    this.dispatchEvent(new Event("changed"));
  }

  /** Takes over changed settings of the agency, its language included. @param {Agency} agency */
  async settle(agency) {
    const before = this.agency?.locale;
    this.agency = agency;
    setPlace(agency);
    await setLocale(agency.locale);
    this.dispatchEvent(new Event(before !== undefined && before !== agency.locale ? "translated" : "changed"));
  }

  async #read() {
    const mine = this.#ended;
    const [user, agency] = await Promise.all([api.get("/auth/me"), api.get("/tenant-settings").catch(unverified)]);
    if (mine !== this.#ended) return;
    this.user = user;
    if (agency !== null) await this.settle(agency);
  }
}

/** @param {unknown} error */
function unverified(error) {
  if (error instanceof Error && error.message === "email_not_verified") return null;
  throw error;
}

export const account = new Account();
