// Labels and tags: what the server has stored, changes to it, and how tiles show them.

import { address, ask, send } from "./api.js";
import { make } from "./dom.js";

const given = new Map(); // id -> {labels, tags}
const NOTHING = { labels: {}, tags: [] };
const listeners = [];
const session = nameSession();
let state = { columns: {}, tags: {} };

// Who may undo a change: a browser, also after a restart. Only numeric addresses and localhost have crypto.randomUUID.
function nameSession() {
  const made = [...crypto.getRandomValues(new Uint32Array(4))].map((number) => number.toString(36)).join("");
  try {
    if (!localStorage.getItem("session")) localStorage.setItem("session", made);
    return localStorage.getItem("session");
  } catch {
    return made;
  }
}

export const of = (id) => given.get(id) ?? NOTHING;
export const facts = () => state;

// All labels of a column, as text that differs when one does.
export const describe = (column) => JSON.stringify([...given].map(([id, { labels }]) => [id, labels[column]]).filter(([, label]) => label).sort());

export const onChange = (listen) => listeners.push(listen);

export async function load() {
  const answer = await ask(address("/labels", { session }));
  given.clear(); // another tab or server may have taken something back
  take(answer);
}

export async function change(document) {
  take(await (await send("/labels", { session, ...document })).json());
}

function take({ images, ...rest }) {
  state = rest;
  for (const one of images) given.set(one.id, one);
  for (const tile of document.querySelectorAll(".tile")) decorate(tile);
  for (const listen of listeners) listen();
}

const toText = ({ labels, tags }) => [
  ...Object.entries(labels).map(([column, label]) => (column === "label" ? label : `${column}: ${label}`)),
  ...tags.map((tag) => `#${tag}`),
].join(", ");

function decorate(tile) {
  const text = toText(of(tile.title));
  const line = tile.querySelector(".given");
  if (line) line.textContent = text;
  else if (text) tile.append(make("small", { className: "given", textContent: text }));
}

// Tiles that come later show what is given, and go through `prepare`.
export function watch(prepare) {
  const each = (node) => { decorate(node); prepare(node); };
  const observer = new MutationObserver((records) => {
    for (const node of records.flatMap(({ addedNodes }) => [...addedNodes])) {
      if (!(node instanceof Element)) continue;
      if (node.matches(".tile")) each(node);
      else node.querySelectorAll(".tile").forEach(each);
    }
  });
  observer.observe(document.body, { childList: true, subtree: true });
}
