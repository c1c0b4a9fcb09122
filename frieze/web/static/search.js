// Search: by an image that is dropped, pasted or chosen, by one of the collection, by words, or by a filter alone.

import { address, ask, call } from "./api.js";
import * as facets from "./facets.js";
import { copy, count, get, isPart, make, percent, say, thumbnail } from "./dom.js";
import { Pages } from "./pages.js";
import { chip, link } from "./shared_filter.js";
import { imageTile } from "./tiles.js";

const MANY = 600; // images, from which on one can go to a number
let facts;
let query = null; // {id}, {file} or {words}
let found = null; // the answer as it came: a number that JavaScript can't hold is copied unchanged
const uploads = []; // files; the address names them by number
let lasso = ""; // on the map: without a query only images inside it are listed
let pages; // of all images that pass the filter
let latest = 0; // number of the newest request: answers to older ones are dropped

export function begin(collection) {
  facts = collection;
  const { label } = facts.labels.find((one) => one.label !== null) ?? {};
  get("where").placeholder = label ? `label = '${label.replaceAll("'", "''")}'` : "width > 1000";
  get("columns").append(...Object.keys(facts.columns).map((name) => make("option", { value: name })));
  const isCosine = facts.metric === "cosine";
  get("least").hidden = !isCosine;
  get("least").parentElement.hidden = !isCosine;
  facets.begin({ choose: filter });
  pages = new Pages(get("hits"), get("more-hits"), fetchPage, (image) => imageTile(image.id, [[image.label ?? ""], [image.id, "quiet"]]));
  listen();
}

function listen() {
  get("go-to").addEventListener("change", () => { if (get("go-to").reportValidity() && get("go-to").value) pages.restart(get("go-to").value - 1); });
  get("wanted").addEventListener("submit", (event) => { event.preventDefault(); submit(); });
  get("least").addEventListener("input", () => { get("least-words").textContent = leastScore() ?? "any"; });
  get("least").addEventListener("change", () => query && run());
  get("query-image").addEventListener("error", () => { get("query-image").hidden = true; });
  get("file").addEventListener("change", () => { upload(get("file").files[0]); get("file").value = ""; });
  get("whole-image").addEventListener("error", () => { get("query-whole").hidden = true; });
  get("drop").addEventListener("keydown", (event) => { if (event.key === "Enter" || event.key === " ") get("file").click(); });
  document.addEventListener("paste", (event) => { const file = event.clipboardData.files[0]; if (file) { event.preventDefault(); upload(file); } });
  document.addEventListener("dragover", (event) => { event.preventDefault(); get("drop").classList.add("over"); });
  document.addEventListener("dragleave", () => get("drop").classList.remove("over"));
  document.addEventListener("drop", drop);
  get("copy-json").addEventListener("click", () => copy(get("copy-json"), found));
  get("copy-command").addEventListener("click", () => copy(get("copy-command"), command()));
}

function drop(event) {
  event.preventDefault();
  get("drop").classList.remove("over");
  const file = event.dataTransfer.files[0];
  const link = event.dataTransfer.getData("text/uri-list") || event.dataTransfer.getData("text/plain");
  if (file) upload(file);
  else if (link) like(idIn(link.split("\n")[0].trim()));
}

// An id, or the address of an image of this page; another site's address is no id, and the answer says so.
function idIn(text) {
  try {
    const link = new URL(text);
    if (link.host === location.host) return link.searchParams.get("id") ?? new URLSearchParams(link.hash.split("?")[1]).get("id") ?? text;
  } catch { /* no address */ }
  return text;
}

export function show(parameters) {
  get("where").value = parameters.get("where") ?? "";
  const id = parameters.get("id");
  const file = uploads[parameters.get("file")];
  const words = parameters.get("words");
  lasso = parameters.get("lasso") ?? "";
  query = id !== null ? { id } : file ? { file } : words ? { words } : null;
  if (query) lasso = "";
  showShared();
  if (query) run();
  else browse();
}

// The filter and the lasso go along to the map, and come back from it.
function showShared() {
  const shared = { where: get("where").value.trim(), lasso };
  facets.show(shared.where, lasso);
  link("#search", {});
  link("#map", shared);
  get("hits-lasso").replaceChildren(...(lasso ? [chip("inside the lasso", () => { lasso = ""; go({}); })] : []), ...(shared.where || lasso ? [make("a", { href: address("#map", shared), textContent: "Show on the map" })] : []));
}

function submit() {
  const name = get("name").value.trim();
  const words = get("text").value.trim();
  if (words && words !== query?.words) go({ words });
  else if (name && name !== query?.id) go({ id: idIn(name) });
  else if (words) go({ words });
  else if (name) go({ id: idIn(name) });
  else if (query?.file) go({ file: uploads.indexOf(query.file) });
  else go({});
}

// The address names what is asked for, so that back and forward work.
function go(parameters) {
  const hash = address("#search", { ...parameters, where: get("where").value.trim(), lasso: Object.keys(parameters).length ? "" : lasso });
  if (location.hash === hash) show(new URLSearchParams(hash.split("?")[1]));
  else location.hash = hash;
}

// Asks the same under another filter.
function filter(where) {
  get("where").value = where;
  go(query?.file ? { file: uploads.indexOf(query.file) } : query ?? {});
}

export function like(id) {
  go({ id });
  scrollTo(0, 0);
}

export function upload(file) {
  if (file) go({ file: uploads.push(file) - 1 });
}

const leastScore = () => (Number(get("least").value) > Number(get("least").min) ? Number(get("least").value) : null);

const searchOptions = () => ({ k: get("k").value || 48, where: get("where").value.trim(), min_score: facts.metric === "cosine" ? leastScore() : null });

async function run() {
  const number = ++latest;
  say(null);
  showQuery();
  try {
    const answer = await findHits(number);
    const text = await answer.text();
    if (number !== latest) return;
    const { queries, notes } = JSON.parse(text);
    showHits(queries[0]);
    get("hits-notes").textContent = notes.join(" ");
    offerCopies(text);
    if (query.file) showCrop(number).catch((problem) => number === latest && say(problem));
  } catch (problem) {
    if (number === latest) showNone(problem);
  }
}

function showNone(problem) {
  say(problem);
  leaveBrowsing();
  get("hits").replaceChildren();
  get("hits-title").textContent = "Nothing found";
  offerCopies(null);
}

function offerCopies(text) {
  found = text;
  get("copies").hidden = found === null;
  get("copy-command").hidden = query?.file?.name.startsWith("part of ") ?? false; // it is no file of the folder
  get("copy-command").title = query?.file ? "To be run in the folder of the image" : "";
}

function findHits(number) {
  if (query.file) return searchFile(number, query.file);
  return query.words ? call(address("/search-text", { text: query.words, ...searchOptions() })) : call(address("/search", { id: query.id, ...searchOptions() }));
}

async function searchFile(number, file) {
  const { backbone_state: state } = await ask("/collection");
  if (number === latest && state !== "ready") get("hits-title").textContent = `Loading ${facts.backbone}, once ...`;
  return call(address("/search", { name: file.name, ...searchOptions() }), { method: "POST", body: file });
}

function showQuery() {
  const { id, file, words } = query;
  get("query").hidden = false;
  get("query-image").hidden = words !== undefined;
  if (words === undefined) get("query-image").src = file ? URL.createObjectURL(file) : thumbnail(id);
  get("query-image").alt = get("query-name").textContent = file?.name ?? id ?? words;
  get("query-whole").hidden = !isPart(id);
  get("whole-image").src = isPart(id) ? address("/picture", { id, whole: true }) : "data:,";
  get("name").value = id ?? "";
  get("text").value = words ?? "";
  get("query-prediction").hidden = get("query-crop").hidden = true;
  get("hits-title").textContent = "Searching ...";
  get("hits-notes").textContent = "";
}

function showHits({ hits, prediction }) {
  leaveBrowsing();
  const shown = hits.filter((hit) => hit.id !== query.id);
  get("hits-title").textContent = shown.length ? `${shown.length.toLocaleString()} most similar` : query.words ? "No image passes" : "No other image passes";
  get("hits").replaceChildren(...shown.map((hit) => imageTile(hit.id, [[hit.score.toFixed(3), "score"], [hit.label ?? ""], [hit.id, "quiet"]])));
  if (document.activeElement === document.body) get("hits-title").focus({ preventScroll: true }); // the tile that was clicked is gone
  if (prediction) {
    get("query-prediction").hidden = false;
    get("query-prediction").textContent = `${prediction.label}, ${percent(prediction.probability)}`;
  }
}

async function showCrop(number) {
  const picture = await (await call("/crop", { method: "POST", body: query.file })).blob();
  if (number !== latest) return;
  get("crop-image").src = URL.createObjectURL(picture);
  get("query-crop").hidden = false;
  get("query-crop").title = facts.sees;
}

// Without a query: all images that pass the filter, as far as one scrolls.
function browse() {
  latest += 1;
  say(null);
  get("query").hidden = true;
  get("name").value = get("text").value = get("hits-notes").textContent = get("go-to").value = "";
  offerCopies(null);
  pages.restart();
}

async function fetchPage(start, n) {
  const number = latest;
  try {
    const { total, images } = await ask(address("/images", { start, n, where: get("where").value.trim(), lasso }));
    if (number === latest) tellBrowsed(total, start + images.length, images);
    return { total, items: images };
  } catch (problem) {
    if (number === latest) showNone(problem);
    return { total: 0, items: [] };
  }
}

function tellBrowsed(total, end, images) {
  if (images.length) get("name").placeholder = images[0].id;
  get("hits-title").textContent = total ? `${end.toLocaleString()} of ${count(total, "image")}: choose one` : "No image passes";
  get("go-to").max = total;
  get("go-to").parentElement.hidden = total < MANY;
}

function leaveBrowsing() {
  pages.stop();
  get("go-to").parentElement.hidden = true;
}

const quoted = (text) => `'${text.replaceAll("'", "'\\''")}'`;

function command() {
  const { k, where, min_score: least } = searchOptions();
  const parts = ["frieze search", quoted(facts.index), quoted(query.words ? `text:${query.words}` : query.file ? query.file.name : `id:${query.id}`), "-k", k];
  if (where) parts.push("--where", quoted(where));
  if (least !== null) parts.push("--min-score", least);
  return parts.join(" ");
}
