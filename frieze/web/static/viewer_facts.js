// What is known of the image in the viewer: the table's columns, what the camera wrote, and its neighbours.

import { address, ask } from "./api.js";
import { get, make } from "./dom.js";
import { imageTile } from "./tiles.js";

const N_NEIGHBOURS = 8;
let latest = 0; // number of the image that was shown last: what comes late for another is dropped

export async function show(id, takeColumns) {
  const number = ++latest;
  const isLatest = () => number === latest;
  for (const place of ["viewer-columns", "viewer-exif", "viewer-neighbours"]) get(place).replaceChildren();
  get("viewer-exif-title").hidden = true;
  const asked = [
    ask(address("/image", { id })).then((columns) => isLatest() && showColumns(columns, takeColumns)),
    ask(address("/exif", { id })).then((exif) => isLatest() && showExif(exif)),
    ask(address("/search", { id, k: N_NEIGHBOURS + 1 })).then(({ queries }) => isLatest() && showNeighbours(id, queries[0].hits)),
  ];
  await Promise.allSettled(asked); // the picture's place says what cannot be read
}

function showColumns(columns, takeColumns) {
  fill("viewer-columns", columns);
  takeColumns(columns);
}

function showExif(exif) {
  fill("viewer-exif", exif);
  get("viewer-exif-title").hidden = !Object.keys(exif).length;
}

function fill(place, values) {
  get(place).replaceChildren(...Object.entries(values).flatMap(([name, value]) => [
    make("dt", { textContent: name }),
    make("dd", { textContent: name === "mtime_ns" && value ? toDate(value) : toText(value), className: value === null ? "quiet" : "" }),
  ]));
}

const toDate = (nanoseconds) => `${new Date(nanoseconds / 1e6).toISOString().slice(0, 19).replace("T", " ")} UTC`;

// Numbers as far as they are sure: those that JavaScript can't hold are rounded by it.
function toText(value) {
  if (value === null) return "none";
  if (typeof value === "number") return Number.isSafeInteger(value) ? value : Number.isInteger(value) ? value.toPrecision(15) : Number(value.toPrecision(6));
  return typeof value === "object" ? JSON.stringify(value) : value;
}

function showNeighbours(id, hits) {
  const tiles = hits.filter((hit) => hit.id !== id).slice(0, N_NEIGHBOURS).map((hit) => imageTile(hit.id, [[hit.score.toFixed(3), "score"]]));
  get("viewer-neighbours").replaceChildren(...tiles);
}
