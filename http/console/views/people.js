// @ts-check
// Names of the agency's people by id, as far as the role may read them.

import { account } from "../account.js";
import { api } from "../api.js";
import { t } from "../texts.js";

/** @type {Promise<Map<string, string>> | null} */
let names = null;
/** Ids that were not among the names: the names are read again once for each. @type {Set<string>} */
const missed = new Set();
account.addEventListener("left", () => {
  names = null;
  missed.clear();
});

/** @param {string | null} id @returns {Promise<string>} */
export async function personName(id) {
  if (id !== null && id === account.user?.id) return t("conversations.you");
  if (!account.may("administer")) return t("conversations.colleague");
  names ??= read();
  const found = (await names).get(id ?? "");
  if (found !== undefined || id === null || missed.has(id)) return found ?? t("conversations.colleague");
  missed.add(id);
  names = read();
  return (await names).get(id) ?? t("conversations.colleague");
}

/** @returns {Promise<Map<string, string>>} */
async function read() {
  try {
    const { items } = await api.get("/auth/members", { limit: 200 });
    return new Map(items.map((/** @type {any} */ each) => [each.id, each.full_name ?? each.email]));
  } catch {
    names = null;
    return new Map();
  }
}
