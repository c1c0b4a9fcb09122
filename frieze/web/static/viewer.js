// Viewer: one image in full, with all that is known of it; arrows walk the list that it was opened from.

import { address } from "./api.js";
import { count, get, isPart, say } from "./dom.js";
import { growthOf, rangeOf } from "./pages.js";
import { gridOf, tilesOf } from "./tiles.js";
import * as facts from "./viewer_facts.js";
import * as labels from "./viewer_labels.js";
import { Part } from "./viewer_part.js";
import { Zoom } from "./zoom.js";

const KEYS = {
  ArrowRight: () => step(1), ArrowLeft: () => step(-1), "+": () => zoom.by(1.4), "=": () => zoom.by(1.4), "-": () => zoom.by(1 / 1.4), 0: () => zoom.fit(),
  m: more, w: showWhole, p: togglePart,
};
const PANS = { ArrowRight: [1, 0], ArrowLeft: [-1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

// Where one has been: the list that was opened, and lists of neighbours that followed. Back of the browser leaves the last one.
let trail = []; // {ids, grid, place}
let after = null; // what is done once the viewer is closed
let isClosing = false;
let isWhole = false; // a part of an image is shown in its image, outlined
let zoom;
let part; // the box whose pixels are searched for
let like;
let search;
let original = ""; // the image whose file is shown, or is being loaded

const here = () => trail.at(-1);
const shownId = () => here().ids[here().place];

export function begin(calls) {
  ({ like, search } = calls);
  const dialog = get("viewer");
  zoom = new Zoom(get("viewer-stage"), get("viewer-image"), { onZoom: tellZoom, onSwipe: step });
  part = new Part(get("viewer-stage"), zoom, { onChange: tellPart });
  get("viewer-image").addEventListener("load", () => zoom.draw());
  get("viewer-image").addEventListener("error", () => say({ detail: `${shownId()} cannot be shown.` }));
  dialog.addEventListener("keydown", press);
  dialog.addEventListener("cancel", (event) => { event.preventDefault(); if (part.isOn) part.stop(); else close(); });
  get("viewer-close").addEventListener("click", () => close());
  get("viewer-search-part").addEventListener("click", searchPart);
  for (const button of dialog.querySelectorAll("[data-key]")) button.addEventListener("click", KEYS[button.dataset.key]);
  window.addEventListener("popstate", (event) => comeBack(event.state?.viewer));
  if (history.state?.viewer !== undefined) history.replaceState(null, ""); // of a page that was loaded again
  labels.begin({ onDone: () => step(1) });
}

// Opens the image of a tile; the list is the tile's grid.
export function open(tile) {
  const grid = gridOf(tile);
  const ids = tilesOf(grid).map(({ title }) => title);
  if (grid.closest("#viewer")) enter({ ids, grid: null, place: ids.indexOf(tile.title) });
  else openList(ids, ids.indexOf(tile.title), grid);
}

export function openList(ids, place = 0, grid = null) {
  trail = [];
  enter({ ids, grid, place });
}

function enter(list) {
  trail.push(list);
  history.pushState({ viewer: trail.length - 1 }, "");
  show();
}

function comeBack(depth) {
  if (depth !== undefined && trail[depth] && !isClosing) {
    trail.length = depth + 1;
    show();
  } else if (get("viewer").open) {
    hide();
  }
}

function hide() {
  const [{ ids, place, grid }] = trail;
  get("viewer").close();
  get("viewer-image").removeAttribute("src");
  isClosing = false;
  const tile = grid?.isConnected && tilesOf(grid).find(({ title }) => title === ids[place]);
  if (tile) tile.focus();
  if (after) after();
  after = null;
}

// Each list of the trail is a step of the browser's history.
function close(then = null) {
  if (isClosing) return;
  isClosing = true;
  after = then;
  history.go(-trail.length);
}

function show() {
  const dialog = get("viewer");
  if (!dialog.open) dialog.showModal();
  say(null);
  part.stop();
  const id = shownId();
  isWhole &&= isPart(id);
  get("viewer-title").textContent = id;
  get("viewer-title").focus({ preventScroll: true });
  tellPlace();
  draw(id);
  dialog.querySelector('[data-key="w"]').hidden = !isPart(id);
  labels.show(id);
  facts.show(id, (columns) => {
    zoom.width = isWhole ? undefined : columns.width ?? undefined;
    zoom.draw();
    labels.takeColumns(columns);
  });
  for (const by of [1, -1]) if (here().ids[here().place + by]) new Image().src = address("/picture", { id: here().ids[here().place + by] });
}

function draw(id) {
  original = "";
  zoom.width = undefined;
  Object.assign(get("viewer-image"), { src: address("/picture", { id, whole: isWhole || null }), alt: id });
  get("viewer").querySelector('[data-key="w"]').setAttribute("aria-pressed", isWhole);
  zoom.fit();
}

function tellPlace() {
  const { ids, place, grid } = here();
  const { first, total } = (grid && rangeOf(grid)) ?? { first: 0, total: ids.length };
  const before = trail.at(-2);
  const of = before ? ` most similar to ${before.ids[before.place]}` : "";
  get("viewer-place").textContent = `${(first + place + 1).toLocaleString()} of ${total.toLocaleString()}${of}`;
}

function tellZoom(share) {
  part?.draw();
  const isFit = zoom ? zoom.scale === 1 : true;
  get("viewer-zoom").textContent = get("viewer-image").naturalWidth > 1 ? `${isFit ? "Whole, " : ""}${Math.round(100 * share)}\u00a0%` : "";
  if (!isFit && !isWhole && original !== shownId()) loadOriginal(shownId());
}

// All pixels are loaded where one looks closer, and replace the smaller picture once they are there.
async function loadOriginal(id) {
  original = id;
  const image = new Image();
  image.src = address("/original", { id });
  try {
    await image.decode();
  } catch {
    return; // the smaller picture stays
  }
  if (original === id && get("viewer").open) get("viewer-image").src = image.src;
}

async function step(by) {
  const list = here();
  if (list.grid && list.ids[list.place + by] === undefined) await growthOf(list.grid, by)?.();
  if (list.grid?.isConnected) {
    const ids = tilesOf(list.grid).map(({ title }) => title);
    const at = ids.indexOf(list.ids[list.place]);
    if (at >= 0) Object.assign(list, { ids, place: at }); // the grid may have grown; where it shows others, the list stays
  }
  if (list !== here() || list.ids[list.place + by] === undefined) return tellEnd(by);
  list.place += by;
  show();
}

function tellEnd(by) {
  get("viewer-place").textContent = `${by > 0 ? "The last" : "The first"} of ${count(here().ids.length, "image")}`;
}

function more() {
  const id = shownId();
  close(() => like(id));
}

function showWhole() {
  if (!isPart(shownId())) return;
  isWhole = !isWhole;
  draw(shownId());
}

function togglePart() {
  if (part.isOn) part.stop();
  else part.start();
}

function tellPart() {
  if (part.isOn && isWhole) showWhole(); // the box is of the image that is searched for
  get("viewer").querySelector('[data-key="p"]').setAttribute("aria-pressed", part.isOn);
  get("viewer-search-part").hidden = !part.isOn;
}

async function searchPart() {
  try {
    const file = await part.cut(shownId());
    close(() => search(file));
  } catch {
    say({ detail: `${shownId()} cannot be read.` });
  }
}

// Keys while a box is there: arrows move it, with Shift they size it.
function pressOfPart(event) {
  if (!part.isOn || event.ctrlKey || event.metaKey) return false;
  if (PANS[event.key]) part.shift(...PANS[event.key], event.shiftKey);
  else if (event.key === "Enter" && !event.target.matches("button, a")) searchPart();
  else return false;
  return true;
}

function press(event) {
  if (event.target.matches("input, select, textarea") || event.altKey) return;
  if (pressOfPart(event)) {
    event.preventDefault();
    return;
  }
  const isControl = event.ctrlKey || event.metaKey;
  const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
  const act = event.shiftKey && PANS[key] ? () => zoom.pan(...PANS[key]) : isControl ? null : KEYS[key];
  if (act) act();
  else if (PANS[key]) zoom.pan(...PANS[key]);
  else if (!labels.press(event)) return;
  event.preventDefault();
}
