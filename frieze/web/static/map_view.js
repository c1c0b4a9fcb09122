// The view "Map": points as bytes from the server, colours by any column, and one filter and lasso with the search.

import { address, ask, call } from "./api.js";
import { count, get, make, say } from "./dom.js";
import * as map from "./map.js";
import { Pages } from "./pages.js";
import { PointGrid } from "./point_grid.js";
import { nameRegions } from "./region_names.js";
import { Scatter } from "./scatter.js";
import * as selection from "./selection.js";
import { chip, link } from "./shared_filter.js";
import { imageTile } from "./tiles.js";
import * as viewer from "./viewer.js";

const PAGE = 1000; // images of an answer
const MOST_SELECTED = 10_000;
let columns = []; // by which the map can be coloured: {column, kind, texts}
let shared = { where: "", lasso: "" }; // what the search shows, too
let pages; // of the images inside the lasso
let latest = 0; // number of the newest filter: answers to older ones are dropped
let names; // asks for the columns, once

export function begin(dom) {
  const open = (id) => viewer.openList([id]);
  map.begin({ dom, Scatter, PointGrid, nameRegions, load, describe, open, choose, onLoad, repaint: showLegend });
  pages = new Pages(get("chosen-grid"), get("more-chosen"), fetchPage, (image) => imageTile(image.id, [[image.label ?? ""], [image.id, "quiet"]]));
  get("colour").addEventListener("change", colour);
  get("copy-chosen").textContent = "Select all";
  get("copy-chosen").hidden = !get("label-bar");
  get("copy-chosen").addEventListener("click", () => selectAll().catch(say));
}

export function show(parameters) {
  shared = { where: parameters.get("where") ?? "", lasso: parameters.get("lasso") ?? "" };
  link("#map", {});
  link("#search", shared);
  const [method] = shared.lasso.split(":");
  if (method && method !== map.method()) {
    get("method").value = method;
    get("method").dispatchEvent(new Event("change"));
  } else if (map.n()) {
    map.show();
    showShared();
  } else {
    map.show();
  }
}

// Until it is there the server answers 202.
async function bytes(path, parameters) {
  for (;;) {
    const answer = await call(address(path, { ...parameters, method: map.method() }));
    if (answer.status !== 202) return { answer, data: await answer.arrayBuffer() };
    await new Promise((done) => setTimeout(done, 400));
  }
}

async function load() {
  const { answer, data } = await bytes("/map/points", {});
  const kept = answer.headers.get("x-frieze-kept");
  return { xy: new Float32Array(data), method: answer.headers.get("x-frieze-method"), kept: kept === null ? null : Number(kept) };
}

const describe = async (rows) => (await ask(address("/map/images", { points: rows.join(), method: map.method() }))).images;

async function onLoad() {
  const [method] = shared.lasso.split(":");
  if (method && method !== map.method()) {
    go({ ...shared, lasso: "" }); // it lies on another map
    return;
  }
  try {
    names ??= ask("/map/columns");
    if (!columns.length) {
      ({ columns } = await names);
      get("colour").replaceChildren(...columns.map(({ column }) => make("option", { value: column, textContent: column })), make("option", { value: "", textContent: "nothing" }));
      get("colour").value = columns.some(({ column }) => column === "label") ? "label" : columns[0]?.column ?? "";
    }
    await colour();
  } catch (problem) {
    say(problem);
  }
  await showShared();
}

const facet = () => columns.find(({ column }) => column === get("colour").value);

async function colour() {
  const chosen = facet();
  const n = map.n();
  const codes = chosen ? new Uint8Array((await bytes("/map/colours", { column: chosen.column })).data) : new Uint8Array(n).fill(map.OTHER);
  if (chosen !== facet() || codes.length !== map.n()) return;
  map.colour(codes, chosen?.kind ?? "values", chosen?.texts ?? []);
  await showLegend();
}

// The values of the column with their counts under the filter; a click on one filters by it.
async function showLegend() {
  const chosen = facet();
  if (!chosen) {
    map.legend([]);
    return;
  }
  const { facets } = await ask(address("/facets", shared));
  if (chosen !== facet()) return;
  const counted = facets.find(({ column }) => column === chosen.column);
  map.legend(chosen.kind === "values" ? valueEntries(chosen, counted) : binEntries(chosen, counted));
}

const filter = (where) => go({ ...shared, where });

// What the head predicts is no column of the table, and is not counted.
function valueEntries({ texts }, counted) {
  const known = new Map((counted?.values ?? []).map((one) => [one.text, one]));
  const entries = texts.map((text, code) => [text, code, known.get(text)]);
  if (known.has(null)) entries.push([null, map.NONE, known.get(null)]);
  const shown = entries.map(([text, code, one]) => ({ text: text ?? "(none)", code, ...(one ? { count: one.count, isChosen: one.is_chosen, onclick: () => filter(one.where) } : {}) }));
  const rest = (counted?.n_values ?? 0) - entries.length;
  return rest > 0 ? [...shown, { text: `and ${count(rest, "other")}`, code: map.OTHER }] : shown;
}

function binEntries({ texts }, counted) {
  const name = (low, high) => (low === null ? `below ${high ?? "all"}` : high === null ? `${low} or more` : `${low} to ${high}`);
  const shown = texts.map((low, code) => {
    const one = counted?.bins[code];
    return { text: name(low, texts[code + 1] ?? null), code, ...(one ? { count: one.count, isChosen: one.is_chosen, onclick: () => filter(one.where) } : {}) };
  });
  return counted?.n_none ? [...shown, { text: "(none)", code: map.NONE, count: counted.n_none }] : shown;
}

// A lasso becomes part of the address, as does the filter: the search shows the same images. What is inside is shown at once.
function choose(loop, rows) {
  if (!shared.where) {
    const inside = new Uint8Array(map.n());
    for (const row of rows) inside[row] = 1;
    map.showOnly(inside);
    tellInside(rows.length);
  }
  go({ ...shared, lasso: `${map.method()}:${loop.map((corner) => corner.join()).join(";")}` });
}

function go(parameters) {
  const hash = address("#map", parameters);
  if (location.hash === hash) show(new URLSearchParams(hash.split("?")[1]));
  else location.hash = hash;
}

async function showShared() {
  const number = ++latest;
  const { where, lasso } = shared;
  map.setLoop(lasso ? lasso.split(":")[1].split(";").map((corner) => corner.split(",").map(Number)) : []);
  get("map-filter").replaceChildren(...chips());
  get("chosen").hidden = !lasso;
  try {
    if (lasso) pages.restart();
    else pages.stop();
    const passing = where || lasso ? new Uint8Array((await bytes("/map/passing", { where, lasso })).data) : null;
    if (number !== latest || (passing && passing.length !== map.n())) return;
    map.showOnly(passing);
    if (passing) get("map-count").textContent = `${count(passing.reduce((sum, one) => sum + one, 0), "image")} shown`;
    await showLegend();
  } catch (problem) {
    if (number === latest) say(problem);
  }
}

function chips() {
  const { where, lasso } = shared;
  const parts = [...(where ? [chip(where, () => filter(""))] : []), ...(lasso ? [chip("inside the lasso", () => go({ ...shared, lasso: "" }))] : [])];
  return parts.length ? [...parts, make("span", { id: "map-count", className: "quiet" }), make("a", { href: address("#search", shared), textContent: "Show in the search" })] : [];
}

// Selects all images inside, also those that are not yet listed, for a label or a tag.
async function selectAll() {
  const at = { ...shared };
  const ids = [];
  for (let total = 1; ids.length < total;) {
    const found = await ask(address("/images", { start: ids.length, n: PAGE, ...at }));
    total = Math.min(found.total, MOST_SELECTED);
    ids.push(...found.images.map(({ id }) => id));
    if (!found.images.length) break;
  }
  selection.selectIds(ids);
}

const tellInside = (n) => { get("chosen-title").textContent = `${count(n, "image")} inside`; };

async function fetchPage(start, n) {
  const { total, images } = await ask(address("/images", { start, n, ...shared }));
  tellInside(total);
  return { total, items: images };
}
