// The learning curve of Teach: accuracy on the images drawn at random against the number of answers, with its interval.

import { get, percent } from "./dom.js";

const SVG = "http://www.w3.org/2000/svg";
const [WIDTH, HEIGHT, LEFT, BOTTOM, TOP] = [320, 130, 38, 22, 8];

function draw(tag, attributes, text = "") {
  const element = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.textContent = text;
  return element;
}

// Shows the points; nothing with fewer than two of them.
export function show({ points, n_held_out: nHeldOut }) {
  get("curve").hidden = points.length < 2;
  if (points.length < 2) return;
  const last = points.at(-1);
  const x = (n) => LEFT + ((WIDTH - LEFT - 6) * n) / last.n_answers;
  const y = (share) => TOP + (HEIGHT - TOP - BOTTOM) * (1 - share);
  const place = ({ n_answers: n }, share) => `${x(n).toFixed(1)},${y(share).toFixed(1)}`;
  const band = [...points.map((one) => place(one, one.interval[1])), ...points.toReversed().map((one) => place(one, one.interval[0]))];
  const svg = draw("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img", "aria-label": describe(points, nHeldOut) });
  for (const share of [0, 0.5, 1]) {
    svg.append(draw("line", { x1: LEFT, x2: WIDTH - 6, y1: y(share), y2: y(share), class: "rule" }), draw("text", { x: LEFT - 4, y: y(share) + 4, "text-anchor": "end" }, percent(share)));
  }
  svg.append(draw("polygon", { points: band.join(" "), class: "band" }));
  svg.append(draw("polyline", { points: points.map((one) => place(one, one.accuracy)).join(" "), class: "line" }));
  for (const one of points) {
    const dot = draw("circle", { cx: x(one.n_answers), cy: y(one.accuracy), r: 3 });
    dot.append(draw("title", {}, sentence(one, nHeldOut)));
    svg.append(dot);
  }
  svg.append(draw("text", { x: LEFT, y: HEIGHT - 5 }, "0"), draw("text", { x: WIDTH - 6, y: HEIGHT - 5, "text-anchor": "end" }, `${last.n_answers.toLocaleString()} answers`));
  get("curve-place").replaceChildren(svg);
}

const sentence = ({ n_answers: n, n_right: right, accuracy, interval }, nHeldOut) => `after ${n.toLocaleString()} answers right on ${right} of ${nHeldOut}: ${percent(accuracy)} (${percent(interval[0])} to ${percent(interval[1])})`;

const describe = (points, nHeldOut) => `Learning curve: ${sentence(points[0], nHeldOut)}; ${sentence(points.at(-1), nHeldOut)}`;
