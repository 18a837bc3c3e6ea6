// @ts-check
// Draws a QR code from its rows of modules.

import { svg } from "../../dom.js";

const QUIET = 4;

/** @param {string[]} rows `1` is dark @param {string} label @returns {SVGSVGElement} */
export function drawing(rows, label) {
  const size = rows.length + 2 * QUIET;
  const path = rows.flatMap((row, y) => Array.from(row.matchAll(/1+/g), (run) => `M${run.index + QUIET} ${y + QUIET}h${run[0].length}v1h-${run[0].length}z`)).join("");
  return svg("svg", { viewBox: `0 0 ${size} ${size}`, role: "img", "aria-label": label, "shape-rendering": "crispEdges" },
    svg("rect", { class: "qr-light", width: size, height: size }), svg("path", { class: "qr-dark", d: path }));
}
