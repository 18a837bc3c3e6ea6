// @ts-check
// The drawings of the navigation. Decoration only: each stands beside its word.

import { svg } from "./dom.js";

/** @type {Record<string, string>} */
const PATHS = {
  conversations: "M4 5h16v11H9l-5 4z",
  enquiries: "M5 4h14v16H5zM8 9h8M8 13h8M8 17h4",
  approvals: "M12 3l8 3v6c0 5-3.5 8-8 9-4.5-1-8-4-8-9V6zM8.5 12l2.5 2.5 4.5-5",
  itinerary: "M7 4v3M17 4v3M4 7h16v13H4zM4 11h16M8 15h3M13 15h3",
  reports: "M4 20V4M4 20h16M8 17v-5M12 17V8M16 17v-7",
  audit: "M11 4a7 7 0 1 1 0 14a7 7 0 1 1 0-14M16 16l5 5",
  settings: "M4 7h9M17 7h3M4 12h3M11 12h9M4 17h7M15 17h5M15 5v4M9 10v4M13 15v4",
  menu: "M4 7h16M4 12h16M4 17h16",
  account: "M12 4a4 4 0 1 1 0 8a4 4 0 1 1 0-8M4 21c0-4 3.5-6 8-6s8 2 8 6",
  close: "M6 6l12 12M18 6L6 18",
};

/** @param {string} name @returns {SVGSVGElement} */
export function icon(name) {
  return svg("svg", { class: "icon", viewBox: "0 0 24 24", "aria-hidden": "true", focusable: "false" }, svg("path", { d: PATHS[name] }));
}
