// Selection: images that are chosen in any grid, and the bar that labels and tags them.

import { count, get, make, say } from "./dom.js";
import * as labels from "./labels.js";
import { gridOf, tilesOf } from "./tiles.js";

const selected = new Set(); // ids
const N_KEYS = 9;
let last = null; // the tile that a range begins at
let column = "label";
let tableLabels = []; // which have keys too, where they are few
let usual = []; // labels that have a key, whether they are given already or not
let heldOut = () => false; // whether an image is a question that was drawn at random

export function begin(facts) {
  const names = facts.labels.map(({ label }) => label).filter((label) => label !== null);
  tableLabels = names.length <= N_KEYS ? names : [];
  labels.watch(mark);
  labels.onChange(showBar);
  document.addEventListener("click", onClick, true);
  document.addEventListener("keydown", onKey);
  window.addEventListener("focus", () => labels.load().catch(say));
  get("label-form").addEventListener("submit", (event) => { event.preventDefault(); label(get("label-name").value.trim()); });
  get("tag-form").addEventListener("submit", (event) => { event.preventDefault(); tag("add"); });
  get("tag-remove").addEventListener("click", () => tag("remove"));
  get("label-back").addEventListener("click", () => label(null));
  get("undo").addEventListener("click", () => change({ action: "undo" }));
  get("redo").addEventListener("click", () => change({ action: "redo" }));
  get("click-selects").addEventListener("change", () => document.body.classList.toggle("click-selects", get("click-selects").checked));
  get("select-all").addEventListener("click", () => select(shownTiles()));
  get("select-none").addEventListener("click", clear);
  showBar();
  return labels.load();
}

// What the keys 1 to 9 give: labels of a column, the usual ones first; and which answers are held out.
export function setColumn(name, names, isHeldOut) {
  column = name;
  usual = names;
  heldOut = isHeldOut;
  showBar();
}

export const known = () => [...new Set([...usual, ...(column === "label" ? tableLabels : []), ...Object.keys(labels.facts().columns[column] ?? {})])];

const shownTiles = () => [...document.querySelectorAll("main section:not([hidden]) .tile")].filter((tile) => tile.offsetParent);

function onClick(event) {
  const tile = event.target.closest?.(".tile");
  const selects = event.ctrlKey || event.metaKey || event.shiftKey || get("click-selects").checked;
  const isKey = event.detail === 0; // Enter opens the image: the key that selects is X
  if (!tile || isKey || tile.closest("dialog") || !(selects || tile.closest("#teach"))) return;
  event.preventDefault();
  event.stopPropagation(); // a plain click on a tile of other views opens it
  if (event.shiftKey && last?.isConnected && gridOf(last) === gridOf(tile)) selectRange(last, tile);
  else toggle(tile);
  last = tile;
}

function selectRange(from, to) {
  const tiles = tilesOf(gridOf(to));
  const [first, end] = [tiles.indexOf(from), tiles.indexOf(to)].sort((a, b) => a - b);
  select(tiles.slice(first, end + 1));
}

const select = (tiles) => selectIds(tiles.map(({ title }) => title));

export function selectIds(ids) {
  for (const id of ids) selected.add(id);
  showSelected();
}

function toggle({ title }) {
  if (!selected.delete(title)) selected.add(title);
  showSelected();
}

function clear() {
  selected.clear();
  showSelected();
}

function mark(tile) {
  if (selected.has(tile.title)) tile.setAttribute("aria-pressed", "true");
  else tile.removeAttribute("aria-pressed");
}

function showSelected() {
  document.querySelectorAll(".tile").forEach(mark);
  get("selected-count").textContent = selected.size ? `${count(selected.size, "image")} selected` : "Nothing selected";
}

const focused = () => document.activeElement?.closest?.(".tile") ?? null;

const KEYS = {
  x: () => focused() && toggle(focused()),
  Escape: clear,
  ArrowLeft: () => step(-1),
  ArrowRight: () => step(1),
};

function onKey(event) {
  if (event.target.matches("input, select, textarea") || document.querySelector("dialog[open]") || event.altKey) return;
  if (event.ctrlKey || event.metaKey) {
    onControlKey(event);
    return;
  }
  const number = Number(event.key);
  if (number >= 1 && number <= N_KEYS && known()[number - 1] !== undefined && (selected.size || focused())) label(known()[number - 1]);
  else if (KEYS[event.key]) KEYS[event.key]();
}

// Returns whether the key undoes or redoes.
export function onControlKey(event) {
  const key = event.key.toLowerCase();
  if (key !== "z" && key !== "y") return false;
  event.preventDefault();
  change({ action: key === "y" || event.shiftKey ? "redo" : "undo" });
  return true;
}

function step(by) {
  const tiles = focused() ? tilesOf(gridOf(focused())) : [];
  tiles[tiles.indexOf(focused()) + by]?.focus();
}

const targets = () => (selected.size ? [...selected] : [focused()?.title].filter(Boolean));

async function label(name) {
  if (name === "") return say({ detail: "Type a label first." });
  const ids = targets();
  if (!ids.length) return say({ detail: "Select an image first: Ctrl and click, or the key x on one." });
  const at = focused();
  if (!(await give(ids, name))) return;
  clear();
  if (at?.isConnected && ids.includes(at.title)) step(1);
}

// Labels images in the column of the bar; null takes the label back.
export const give = (ids, name) => change({ ids, column, label: name, held_out: ids.filter(heldOut) });
export const columnName = () => column;

async function tag(action) {
  const name = get("tag-name").value.trim();
  if (!name) return say({ detail: "Type a tag first." });
  if (!targets().length) return say({ detail: "Select an image first: Ctrl and click, or the key x on one." });
  if (await change({ ids: targets(), [action]: [name] })) clear();
}

// Whether the server stored it; what it refuses is shown.
export async function change(document) {
  say(null);
  try {
    await labels.change(document);
    return true;
  } catch (problem) {
    say(problem);
    return false;
  }
}

function offer(lists, values) {
  for (const list of lists) get(list).replaceChildren(...values.map((value) => make("option", { value })));
}

function showBar() {
  const { can_undo: canUndo, can_redo: canRedo, tags, is_writable: isWritable } = labels.facts();
  get("label-bar").hidden = isWritable === false;
  get("label-column").textContent = column === "label" ? "Label" : `Label in ${column}`;
  get("undo").disabled = !canUndo;
  get("redo").disabled = !canRedo;
  offer(["label-names", "viewer-label-names"], known());
  offer(["tag-names", "viewer-tag-names"], Object.keys(tags));
  const keys = known().slice(0, N_KEYS).map((name, place) => make("button", { type: "button", onclick: () => label(name) }, make("kbd", { textContent: place + 1 }), ` ${name}`));
  get("label-keys").replaceChildren(...keys);
  showSelected();
}
