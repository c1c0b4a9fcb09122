// Queue: one mistake after the other, decided by key: accept the suggested label, keep the given one, skip, undo.

import { address, ask } from "./api.js";
import { get, percent, say } from "./dom.js";
import * as labels from "./labels.js";
import * as selection from "./selection.js";
import { imageTile } from "./tiles.js";
import * as viewer from "./viewer.js";

const N_NEIGHBOURS = 8;
const KEYS = { a: () => decide("prediction"), k: () => decide("label"), s: skip, u: takeBack, v: () => viewer.openList([items[place].id]) };
let items = []; // {id, label, prediction, probability}
let total = 0;
let place = 0;
let fetchMore; // (start) -> {total, items}
let trail = []; // places of what was decided
let isBusy = false;
let onDecided;

export function begin(calls) {
  onDecided = calls.onDecided;
  document.addEventListener("keydown", press);
  for (const button of get("queue").querySelectorAll("[data-key]")) button.addEventListener("click", () => KEYS[button.dataset.key]());
  get("queue-view").addEventListener("click", () => KEYS.v());
  get("queue-image").addEventListener("error", () => { get("queue-image").alt = `${items[place]?.id} cannot be shown`; });
}

// Starts with another list.
export async function start(fetch) {
  [items, place, trail, fetchMore] = [[], 0, [], fetch];
  get("queue").hidden = true;
  await fill();
  await next(0);
}

async function fill() {
  const list = fetchMore;
  const more = await list(items.length);
  if (list !== fetchMore) return;
  total = more.total;
  items.push(...more.items);
}

const isOpen = (one) => labels.of(one.id).labels.label === undefined;

// Goes to the first image from a place on that has no label of this page yet.
async function next(from) {
  place = from;
  while (place < items.length || items.length < total) {
    if (place >= items.length) {
      const before = items.length;
      await fill();
      if (items.length === before) break;
    } else if (isOpen(items[place])) {
      break;
    } else {
      place += 1;
    }
  }
  draw();
}

function draw() {
  const one = items[place];
  const nDecided = trail.length;
  onDecided({ nDecided, isEnd: one === undefined });
  get("queue").hidden = one === undefined;
  if (!one) return;
  get("queue-image").src = address("/picture", { id: one.id });
  get("queue-image").alt = one.id;
  get("queue-place").textContent = `${(place + 1).toLocaleString()} of ${total.toLocaleString()}; ${nDecided.toLocaleString()} decided`;
  get("queue-title").textContent = `${one.label}, or ${one.prediction}?`;
  get("queue-words").textContent = `Labelled ${one.label}; suggested ${one.prediction} (${percent(one.probability)}). ${one.id}`;
  get("queue-suggested").textContent = one.prediction;
  get("queue-given").textContent = one.label;
  if (items[place + 1]) new Image().src = address("/picture", { id: items[place + 1].id });
  showNeighbours(one);
}

async function showNeighbours(one) {
  get("queue-neighbours").replaceChildren();
  const { queries } = await ask(address("/search", { id: one.id, k: N_NEIGHBOURS + 1 })).catch(() => ({ queries: [{ hits: [] }] }));
  if (items[place] !== one) return;
  const hits = queries[0].hits.filter(({ id }) => id !== one.id).slice(0, N_NEIGHBOURS);
  get("queue-neighbours").replaceChildren(...hits.map((hit) => imageTile(hit.id, [[labels.of(hit.id).labels.label ?? hit.label ?? ""]])));
}

const decide = (field) => items[place] && give(items[place][field]);

async function give(label) {
  if (isBusy) return; // a key that is pressed twice decides once
  isBusy = true;
  const at = place;
  if (await selection.change({ ids: [items[at].id], column: "label", label })) {
    trail.push(at);
    await next(at + 1).catch(say);
  }
  isBusy = false;
}

// What is skipped has no label of this page, and comes again with the next list.
function skip() {
  if (!isBusy && items[place]) next(place + 1).catch(say);
}

async function takeBack() {
  if (isBusy || !trail.length) return say({ detail: "There is nothing to undo in this list." });
  isBusy = true;
  if (await selection.change({ action: "undo" })) {
    place = trail.pop();
    draw();
  }
  isBusy = false;
}

function press(event) {
  if (get("mistakes").hidden || get("queue").hidden || event.target.matches("input, select, textarea") || document.querySelector("dialog[open]")) return;
  if (event.ctrlKey || event.metaKey || event.altKey || event.repeat || event.target.closest(".cell .tile")) return;
  const name = /^[1-9]$/.test(event.key) ? selection.known()[Number(event.key) - 1] : undefined;
  if (name !== undefined) give(name);
  else if (KEYS[event.key.toLowerCase()]) KEYS[event.key.toLowerCase()]();
  else return;
  event.preventDefault();
}
