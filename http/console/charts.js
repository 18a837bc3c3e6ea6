// @ts-check
// Two drawings in inline SVG. Each stands beside a table with the same figures, which is what screen readers are given.

import { h, svg } from "./dom.js";

/** @typedef {{ value: number, label: string, tone: string, href?: string }} Part */

const WIDTH = 1000;
const BAR = 56;
const GAP = 3;
const CHART = 220;

/**
 * One bar, as long as all its parts together, with a legend. Parts without a value are left out.
 * @param {{ label: string, parts: Part[] }} props
 */
export function stackedBar({ label, parts }) {
  const whole = parts.reduce((sum, { value }) => sum + value, 0);
  const drawn = parts.filter(({ value }) => value > 0);
  const space = WIDTH - GAP * Math.max(0, drawn.length - 1);
  let x = 0;
  const bars = drawn.map(({ value, tone, label: name, href }) => {
    const width = (value / whole) * space;
    const bar = svg("rect", { class: ["part", tone], x, y: 0, width: Math.max(width, 1), height: BAR }, svg("title", null, name));
    x += width + GAP;
    return href ? svg("a", { href, "aria-label": name }, bar) : bar;
  });
  return h("figure", { class: "chart" },
    svg("svg", { class: "stacked", viewBox: `0 0 ${WIDTH} ${BAR}`, preserveAspectRatio: "none", role: "group", "aria-label": label }, bars),
    h("figcaption", { class: "legend", "aria-hidden": "true" }, drawn.map(({ label: name, tone }) => h("span", null, h("span", { class: ["swatch", tone] }), name))));
}

/**
 * A column for each day. `axis` names the first and the last, `most` the highest.
 * @param {{ label: string, columns: { value: number, label: string }[], first: string, last: string, most: string }} props
 */
export function dayColumns({ label, columns, first, last, most }) {
  const highest = Math.max(...columns.map(({ value }) => value), 0);
  const step = WIDTH / Math.max(1, columns.length);
  const width = Math.max(1, step - Math.min(GAP, step / 4));
  const bars = columns.map(({ value, label: name }, place) => {
    const height = highest === 0 ? 0 : Math.max(value > 0 ? 2 : 0, (value / highest) * CHART);
    return svg("rect", { class: "part usage", x: place * step, y: CHART - height, width, height }, svg("title", null, name));
  });
  return h("figure", { class: "chart" }, h("p", { class: "small quiet", "aria-hidden": "true" }, most),
    svg("svg", { class: "columns-chart", viewBox: `0 0 ${WIDTH} ${CHART}`, preserveAspectRatio: "none", role: "img", "aria-label": label }, bars,
      svg("line", { class: "axis", x1: 0, y1: CHART - 0.5, x2: WIDTH, y2: CHART - 0.5 })),
    h("figcaption", { class: "axis-days small quiet", "aria-hidden": "true" }, h("span", null, first), h("span", null, last)));
}
