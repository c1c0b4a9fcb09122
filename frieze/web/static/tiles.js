// Tiles of images: a click shows the image in full, "More like this" searches for what is like it.

import { make, tile } from "./dom.js";

let calls = { open: () => {}, like: () => {} };

export function begin(these) {
  calls = these;
}

// A tile with its other actions beside it: a button can't lie inside another one. By key they are V and M on the tile.
export function imageTile(id, lines, options = {}) {
  const shown = tile(id, lines, { onclick: (event) => calls.open(event.currentTarget), ...options });
  const act = (className, text, onclick) => make("button", { type: "button", className, textContent: text, ariaLabel: `${text}: ${id}`, tabIndex: -1, onclick });
  return make("div", { className: "cell" }, shown,
    make("span", { className: "actions" }, act("view", "View", () => calls.open(shown)), act("like", "More like this", () => calls.like(id))));
}

export const gridOf = (tile) => tile.closest(".grid");
export const tilesOf = (grid) => [...grid.querySelectorAll(".tile")];

const KEYS = { v: (tile) => calls.open(tile), m: (tile) => calls.like(tile.title) };

// Keys on the tile that has the focus, also where a click selects.
export function onKey(event) {
  const tile = event.target.closest?.(".cell .tile");
  if (!tile || event.ctrlKey || event.metaKey || event.altKey || document.querySelector("dialog[open]")) return;
  const act = KEYS[event.key.toLowerCase()];
  if (!act) return;
  event.preventDefault();
  act(tile);
}
