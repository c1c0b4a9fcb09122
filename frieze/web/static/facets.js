// Facets: each column's values with their counts, or its histogram; a click adds a condition to the filter, or takes it away.

import { address, ask } from "./api.js";
import { count, get, make } from "./dom.js";

const FEW = 6; // values that are shown at first
const WORDS = { low: "below", high: "or more" };
let choose; // takes the new filter
let latest = 0;
let shown = null; // the filter that the panel shows
let area = ""; // the lasso in which it counts
let drag = null; // the bin that a range begins at
const unfolded = new Set(); // columns whose values are all shown

export function begin(calls) {
  choose = calls.choose;
  const isNarrow = matchMedia("(max-width: 50rem)").matches;
  get("facets").open = !isNarrow;
  get("facets").addEventListener("toggle", () => { if (get("facets").open && shown !== null) load(shown); });
  get("facets-none").addEventListener("click", () => choose(""));
  document.addEventListener("pointerup", () => { drag = null; });
}

export function show(where, lasso) {
  shown = where;
  area = lasso;
  get("facets-none").hidden = !where;
  if (get("facets").open) load(where);
}

async function load(where) {
  const number = ++latest;
  try {
    const document = await ask(address("/facets", { where, lasso: area }));
    if (number !== latest) return;
    draw(document);
  } catch {
    if (number === latest) get("facets-words").textContent = "The filter can't be used."; // the view says why
  }
}

function draw({ facets, rows, total, left_out: leftOut }) {
  const before = document.activeElement?.closest("#facets [data-key]")?.dataset.key;
  const open = new Map([...get("facets-list").children].map((one) => [one.dataset.column, one.open]));
  get("facets-words").textContent = total === rows ? count(rows, "image") : `${total.toLocaleString()} of ${count(rows, "image")}`;
  get("facets-list").replaceChildren(...facets.map((facet, place) => section(facet, open.get(facet.column) ?? place < 4)));
  get("facets-left-out").textContent = leftOut.length ? `Nothing to choose in: ${leftOut.join(", ")}.` : "";
  [...get("facets-list").querySelectorAll("[data-key]")].find(({ dataset }) => dataset.key === before)?.focus();
}

function section(facet, isOpen) {
  const isChosen = [...facet.values, ...facet.bins].some((one) => one.is_chosen);
  const title = make("summary", { textContent: facet.column });
  const part = make("details", { open: isOpen || isChosen }, title, facet.bins.length ? histogram(facet) : valueList(facet));
  part.dataset.column = facet.column;
  if (isChosen) title.append(" ", make("button", { type: "button", className: "plain", textContent: "any", ariaLabel: `Any ${facet.column}`, onclick: (event) => { event.preventDefault(); choose(facet.rest); } }));
  return part;
}

function valueList(facet) {
  const isWhole = unfolded.has(facet.column);
  const values = facet.values.filter((one, place) => isWhole || place < FEW || one.is_chosen);
  const most = Math.max(1, ...facet.values.map((one) => one.count));
  const items = values.map((one) => make("li", {}, valueButton(facet, one, most)));
  const rest = facet.n_values - values.length;
  if (facet.values.length > values.length) {
    items.push(make("li", {}, make("button", { type: "button", className: "plain", textContent: `${rest.toLocaleString()} more`, ariaLabel: `${rest} more of ${facet.column}`, onclick: () => { unfolded.add(facet.column); load(shown); } })));
  } else if (rest) {
    items.push(make("li", { className: "quiet", textContent: `and ${rest.toLocaleString()} more: type them into the filter` }));
  }
  return make("ul", {}, ...items);
}

function valueButton(facet, one, most) {
  const name = one.text ?? "(none)";
  const button = make("button", { type: "button", ariaPressed: one.is_chosen, title: name, onclick: () => choose(one.where) },
    make("span", { textContent: name }), make("span", { className: "count", textContent: one.count.toLocaleString() }));
  button.style.setProperty("--share", `${(100 * one.count) / most}%`);
  button.dataset.key = `${facet.column}\n${one.text}`;
  if (!one.count) button.classList.add("quiet");
  return button;
}

const bounds = ({ low, high }) => (low === null && high === null ? "all" : low === null ? `${WORDS.low} ${high}` : high === null ? `${low} ${WORDS.high}` : `${low} to ${high}`);

// Each bin a button: a click chooses it, dragging over several chooses them all.
function histogram(facet) {
  const most = Math.max(1, ...facet.bins.map((one) => one.count));
  const mostOfAll = Math.max(1, ...facet.bins.map((one) => one.total));
  const words = make("p", { className: "quiet", textContent: `${facet.bins[0].high ?? ""} ... ${facet.bins.at(-1).low ?? ""}` });
  const usual = words.textContent;
  const bars = facet.bins.map((one, place) => {
    const text = `${bounds(one)}: ${count(one.count, "image")}`;
    const bar = make("button", { type: "button", ariaPressed: one.is_chosen, ariaLabel: `${facet.column} ${text}`, title: text },
      make("i", { className: "total" }), make("i"));
    bar.firstChild.style.height = `${(100 * one.total) / mostOfAll}%`;
    bar.lastChild.style.height = `${(100 * one.count) / most}%`;
    bar.dataset.key = `${facet.column}\n${place}`;
    bar.addEventListener("pointerdown", (event) => { event.target.releasePointerCapture?.(event.pointerId); drag = { facet, place }; });
    bar.addEventListener("pointerup", () => { if (drag?.facet === facet && drag.place !== place) choose(range(facet, drag.place, place)); });
    bar.addEventListener("pointerenter", () => { words.textContent = drag?.facet === facet ? bounds({ low: facet.bins[Math.min(drag.place, place)].low, high: facet.bins[Math.max(drag.place, place)].high }) : text; });
    bar.addEventListener("pointerleave", () => { words.textContent = usual; });
    bar.addEventListener("focus", () => { words.textContent = text; });
    bar.addEventListener("click", (event) => choose(event.shiftKey ? range(facet, firstChosen(facet, place), place) : one.where));
    return bar;
  });
  const none = facet.n_none ? ` ${facet.n_none.toLocaleString()} without a value.` : "";
  return make("div", {}, make("div", { className: "bars", role: "group", ariaLabel: `Histogram of ${facet.column}` }, ...bars), words, ...(none ? [make("p", { className: "quiet", textContent: none })] : []));
}

const firstChosen = ({ bins }, place) => { const at = bins.findIndex((one) => one.is_chosen); return at < 0 ? place : at; };

function range({ rest, bins }, from, to) {
  const [first, last] = [bins[Math.min(from, to)], bins[Math.max(from, to)]];
  return [rest, first.at_least, last.below].filter(Boolean).join(" and ");
}
