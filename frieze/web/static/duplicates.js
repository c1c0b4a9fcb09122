// Duplicates: copies around the one to keep, and look-alikes; a click on one shows it beside the first of its set.

import { address, askUntilThere } from "./api.js";
import * as decisions from "./decisions.js";
import { count, download, get, make, say } from "./dom.js";
import { advice, difference, scoreOf, title, toPairs, toSets, toText, withScore } from "./duplicate_sets.js";
import * as pair from "./pair.js";
import { Pages } from "./pages.js";
import { imageTile } from "./tiles.js";

const MOST_SHOWN = 60;
const STEPS = 200;
let sets = null; // {copies, lookAlikes}
let shown = []; // the sets of the chosen list with a score that is high enough
let sections = new Map(); // id of the first image -> {element, words}
let pages;

export function begin() {
  const fetchPage = async (start, n) => ({ total: shown.length, items: shown.slice(start, start + n) });
  pages = new Pages(get("groups"), get("more-groups"), fetchPage, toSection);
  pair.begin({ onMove: goTo, onClose: close });
  get("which-sets").addEventListener("change", list);
  get("lowest").addEventListener("input", () => { get("lowest-words").textContent = isAny() ? "any" : lowest().toFixed(2); });
  get("lowest").addEventListener("change", list);
  get("duplicates-list").addEventListener("click", () => download("duplicates.csv", ["group", "id", "kind", "overlap", "advice"], toRows()));
  get("decisions-list").addEventListener("click", () => download("decisions.csv", ["id", "other", "keep"], decisions.all().map(({ id, other, keep }) => [id, other, keep])));
  get("duplicates-bar").addEventListener("submit", (event) => event.preventDefault());
  document.addEventListener("visibilitychange", () => { if (sets && !document.hidden) decisions.load().then(redraw); }); // another tab may have decided
}

export async function show(parameters) {
  try {
    sets ??= await load();
    const [id, other] = [parameters.get("id"), parameters.get("other")];
    if (other === null) pair.hide();
    else open(id, other);
  } catch (problem) {
    get("duplicates-words").textContent = "";
    say(problem);
  }
}

let loading = null;

function load() {
  loading ??= Promise.all([askUntilThere("/duplicates"), decisions.load()]).then(([found]) => {
    const all = toSets(found);
    describe(found, all);
    prepareBar(all);
    sets = all;
    list();
    return all;
  }).finally(() => { loading = null; });
  return loading;
}

function describe({ rows, n_duplicates: nDuplicates, notes = [] }, { copies, lookAlikes }) {
  const alike = lookAlikes.length ? ` ${count(lookAlikes.length, "set")} of images only look alike.` : "";
  get("duplicates-words").textContent = copies.length
    ? `${count(copies.length, "group")} among ${count(rows, "image")}; ${count(nDuplicates, "image")} could go. The one to keep is framed.${alike}`
    : `No duplicates among ${count(rows, "image")}.${alike}`;
  get("duplicates-notes").textContent = notes.join(" ");
  get("duplicates-notes").hidden = !notes.length;
}

function prepareBar({ copies, lookAlikes }) {
  const scores = [...copies, ...lookAlikes].flatMap(({ members }) => members.map(scoreOf)).filter((score) => score !== null);
  const [low, high] = [scores.reduce((a, b) => Math.min(a, b), Infinity), scores.reduce((a, b) => Math.max(a, b), -Infinity)];
  get("lowest").parentElement.hidden = !(low < high);
  if (low < high) Object.assign(get("lowest"), { min: low, max: high, step: (high - low) / STEPS, value: low });
  get("which-sets").replaceChildren(
    make("option", { value: "copies", textContent: `Copies (${copies.length.toLocaleString()})` }),
    make("option", { value: "lookAlikes", textContent: `Look-alikes (${lookAlikes.length.toLocaleString()})` }));
  get("duplicates-bar").hidden = !copies.length && !lookAlikes.length;
}

const isAny = () => get("lowest").value === get("lowest").min || get("lowest").parentElement.hidden;
const lowest = () => (isAny() ? -Infinity : Number(get("lowest").value));

function list() {
  shown = withScore(sets[get("which-sets").value], lowest());
  sections = new Map();
  pages.restart();
}

function redraw() {
  for (const one of shown) {
    const old = sections.get(one.id);
    if (old && old.words !== wordsOf(advice(one))) old.element.replaceWith(toSection(one));
  }
}

const wordsOf = (words) => JSON.stringify([...words]);

function toSection(one) {
  const words = advice(one);
  const toTile = (id, lines, options = {}) => {
    const word = words.get(id);
    return imageTile(id, [...lines, [word === "copy" ? "" : word, word === "keep" ? "kept" : "wrong"], [id, "quiet"]], { kind: word === "keep" ? "keep" : "", ...options });
  };
  const some = one.members.slice(0, MOST_SHOWN);
  const tiles = some.map((member) => toTile(member.id, [[difference(member)], [member.score === undefined ? "" : toText(member.score), "score"]], { onclick: () => goTo({ id: one.id, other: member.id }) }));
  const rest = one.members.length - some.length;
  const heading = make("h2", { textContent: title(one) + (rest ? `; ${rest.toLocaleString()} not shown` : "") });
  const section = make("div", { className: "group" }, heading, make("div", { className: "grid" }, toTile(one.id, []), ...tiles));
  sections.set(one.id, { element: section, words: wordsOf(words) });
  return section;
}

// The address names the pair, so that back, forward and a copied link work; moving on is no step of its own.
function goTo({ id, other }) {
  const hash = address("#duplicates", { id, other });
  if (get("pair").open) location.replace(hash);
  else location.hash = hash;
}

function open(id, other) {
  const find = (sets) => { const pairs = toPairs(sets); return { pairs, place: pairs.findIndex((one) => one.id === id && one.other === other) }; };
  const { pairs, place } = [shown, sets.copies, sets.lookAlikes].map(find).find((one) => one.place >= 0) ?? {};
  if (pairs) pair.show(pairs, place);
  else say({ detail: `${id} and ${other} are not in the list.` });
}

function close({ id, other }) {
  if (location.hash.startsWith("#duplicates?")) history.replaceState(null, "", "#duplicates"); // a new hash would scroll
  redraw();
  const tiles = sections.get(id)?.element.querySelectorAll(".tile") ?? [];
  [...tiles].find((one) => one.title === other)?.focus();
}

function toRows() {
  const copies = withScore(sets.copies, lowest());
  return copies.flatMap((one, number) => {
    const words = advice(one);
    return [{ id: one.id, overlap: 1 }, ...one.members].map(({ id, kind, overlap }) => [number, id, kind ?? "", overlap ?? "", words.get(id)]);
  });
}
