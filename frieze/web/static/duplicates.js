// Duplicates: groups side by side, the image to keep first.

import { askUntilThere } from "./api.js";
import { count, get, make, say, tile } from "./dom.js";
import { like } from "./search.js";

const STEP = 40;
const MOST_SHOWN = 60;
let groups = null;
let nShown = 0;

export async function show() {
  if (groups) return;
  groups = [];
  try {
    const found = await askUntilThere("/duplicates");
    groups = found.groups;
    get("duplicates-words").textContent = groups.length
      ? `${count(groups.length, "group")} among ${count(found.rows, "image")}; ${count(found.n_duplicates, "image")} could go. The one to keep is framed.`
      : `No duplicates among ${count(found.rows, "image")}.`;
    offerList();
    get("more-groups").addEventListener("click", more);
    more();
  } catch (problem) {
    groups = null;
    get("duplicates-words").textContent = "";
    say(problem);
  }
}

function more() {
  get("groups").append(...groups.slice(nShown, nShown + STEP).map(toSection));
  nShown += STEP;
  get("more-groups").hidden = nShown >= groups.length;
}

function toSection(group) {
  const how = group.exact ? "equal files" : `lowest score ${group.min_score.toFixed(3)}`;
  const tiles = group.ids.slice(0, MOST_SHOWN).map((id, number) =>
    tile(id, [[number ? "" : "keep", "kept"], [id, "quiet"]], { kind: number ? "" : "keep", onclick: () => like(id) }));
  const rest = group.ids.length - tiles.length;
  const title = `${group.ids.length.toLocaleString()} images, ${how}${rest > 0 ? `; ${rest.toLocaleString()} not shown` : ""}`;
  return make("div", { className: "group" }, make("h2", { textContent: title }), make("div", { className: "grid" }, ...tiles));
}

const cell = (text) => `"${String(text).replaceAll('"', '""')}"`;

function offerList() {
  if (!groups.length) return;
  const rows = groups.flatMap((group, number) => group.ids.map((id, place) => [number, cell(id), place ? "remove" : "keep"].join(",")));
  const file = new Blob([["group,id,advice", ...rows].join("\n"), "\n"], { type: "text/csv" });
  get("duplicates-list").href = URL.createObjectURL(file);
  get("duplicates-list").hidden = false;
}
