// @ts-check

import { t } from "../texts.js";

/** How long the service makes a title of a first message. */
const LONGEST = 60;

/** A conversation's title as it is shown: one that was cut off ends with dots. @param {string | null | undefined} title */
export function shownTitle(title) {
  if (!title) return t("conversations.untitled");
  return [...title].length === LONGEST ? `${title.trimEnd()}…` : title;
}
