// Search: by an image that is dropped, pasted or chosen, by one of the collection, or by a filter alone.

import { address, ask, call } from "./api.js";
import { copy, get, make, say, thumbnail, tile } from "./dom.js";

let facts;
let query = null; // {id} or {file}
let found = null;
let asked = 0; // answers that come after a newer question are dropped

export function begin(known) {
  facts = known;
  get("columns").append(...Object.keys(facts.columns).map((name) => make("option", { value: name })));
  const isCosine = facts.metric === "cosine";
  get("least").hidden = !isCosine;
  get("least").parentElement.hidden = !isCosine;
  listen();
}

function listen() {
  get("wanted").addEventListener("submit", (event) => { event.preventDefault(); submit(); });
  get("least").addEventListener("input", () => { get("least-words").textContent = leastScore() ?? "any"; });
  get("least").addEventListener("change", () => query && run());
  get("file").addEventListener("change", () => { bring(get("file").files[0]); get("file").value = ""; });
  get("drop").addEventListener("keydown", (event) => { if (event.key === "Enter" || event.key === " ") get("file").click(); });
  document.addEventListener("paste", (event) => { const file = event.clipboardData.files[0]; if (file) { event.preventDefault(); bring(file); } });
  document.addEventListener("dragover", (event) => { event.preventDefault(); get("drop").classList.add("over"); });
  document.addEventListener("dragleave", () => get("drop").classList.remove("over"));
  document.addEventListener("drop", drop);
  get("copy-json").addEventListener("click", () => copy(get("copy-json"), JSON.stringify(found, null, 2)));
  get("copy-command").addEventListener("click", () => copy(get("copy-command"), command()));
}

function drop(event) {
  event.preventDefault();
  get("drop").classList.remove("over");
  const file = event.dataTransfer.files[0];
  const link = event.dataTransfer.getData("text/uri-list") || event.dataTransfer.getData("text/plain");
  if (file) bring(file);
  else if (link) like(idIn(link.split("\n")[0].trim()));
}

// An id, or the address of an image of this page; another site's address is no id, and the answer says so.
function idIn(text) {
  try {
    const link = new URL(text);
    if (link.host === location.host) return link.searchParams.get("id") ?? new URLSearchParams(link.hash.slice(1)).get("id") ?? text;
  } catch { /* no address */ }
  return text;
}

export function show(parameters) {
  get("where").value = parameters.get("where") ?? "";
  const id = parameters.get("id");
  if (id !== null) {
    query = { id };
    run();
  } else if (!query) {
    browse();
  }
}

function submit() {
  const name = get("name").value.trim();
  if (name) like(idIn(name));
  else if (query) run();
  else browse();
}

export function like(id) {
  const where = get("where").value.trim();
  const hash = `#search?${new URLSearchParams(where ? { id, where } : { id })}`;
  if (location.hash === hash) show(new URLSearchParams(hash.split("?")[1]));
  else location.hash = hash;
}

function bring(file) {
  if (!file) return;
  query = { file };
  if (location.hash !== "#search") history.pushState(null, "", "#search");
  window.dispatchEvent(new Event("viewchange"));
  run();
}

const leastScore = () => (Number(get("least").value) > Number(get("least").min) ? Number(get("least").value) : null);

const wanted = () => ({ k: get("k").value || 48, where: get("where").value.trim(), min_score: facts.metric === "cosine" ? leastScore() : null });

async function run() {
  const number = ++asked;
  say(null);
  showQuery();
  try {
    const document = await (query.file ? searchFile() : ask(address("/search", { id: query.id, ...wanted() })));
    if (number !== asked) return;
    found = document;
    showHits(document.queries[0]);
    if (query.file) showCrop(number);
  } catch (problem) {
    if (number !== asked) return;
    say(problem);
    get("hits").replaceChildren();
    get("hits-title").textContent = "Nothing found";
    found = null;
  }
  get("drop-words").hidden = false;
  get("copy-json").disabled = get("copy-command").disabled = found === null;
}

async function searchFile() {
  const { backbone_state: state } = await ask("/collection");
  get("hits-title").textContent = state === "ready" ? "Searching ..." : `Loading ${facts.backbone}, once ...`;
  return ask(address("/search", { name: query.file.name, ...wanted() }), { method: "POST", body: query.file });
}

function showQuery() {
  const { id, file } = query;
  get("query").hidden = false;
  get("query-image").src = file ? URL.createObjectURL(file) : thumbnail(id);
  get("query-image").alt = get("query-name").textContent = file ? file.name : id;
  get("name").value = id ?? "";
  get("query-prediction").hidden = get("query-crop").hidden = true;
  get("hits-title").textContent = "Searching ...";
}

function showHits({ hits, prediction }) {
  const shown = hits.filter((hit) => hit.id !== query.id);
  get("hits-title").textContent = shown.length ? `${shown.length} most similar` : "No image passes";
  get("hits").replaceChildren(...shown.map((hit) => tile(hit.id, [[hit.score.toFixed(3), "score"], [hit.label ?? ""], [hit.id, "quiet"]], { onclick: () => like(hit.id) })));
  if (prediction) {
    get("query-prediction").hidden = false;
    get("query-prediction").textContent = `${prediction.label}, ${(100 * prediction.probability).toFixed(0)} %`;
  }
}

async function showCrop(number) {
  const picture = await (await call("/crop", { method: "POST", body: query.file })).blob();
  if (number !== asked) return;
  get("crop-image").src = URL.createObjectURL(picture);
  get("query-crop").hidden = false;
  get("query-crop").title = facts.sees;
}

async function browse() {
  const number = ++asked;
  say(null);
  try {
    const { total, images } = await ask(address("/images", { n: get("k").value || 48, where: get("where").value.trim() }));
    if (number !== asked) return;
    get("hits-title").textContent = `${images.length.toLocaleString()} of ${total.toLocaleString()} images: choose one`;
    get("hits").replaceChildren(...images.map((image) => tile(image.id, [[image.label ?? ""], [image.id, "quiet"]], { onclick: () => like(image.id) })));
  } catch (problem) {
    say(problem);
  }
}

const quoted = (text) => `'${text.replaceAll("'", "'\\''")}'`;

function command() {
  const { k, where, min_score: least } = wanted();
  const parts = ["frieze search", quoted(facts.index), quoted(query.file ? query.file.name : `id:${query.id}`), "-k", k];
  if (where) parts.push("--where", quoted(where));
  if (least !== null) parts.push("--min-score", least);
  return parts.join(" ");
}
