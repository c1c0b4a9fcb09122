// Label and tags of the image in the viewer; nothing where the page has no file of labels.

import { get, make } from "./dom.js";
import * as labels from "./labels.js";
import * as selection from "./selection.js";

let id = null;
let columns = {}; // of the table
let onDone;

export function begin(calls) {
  if (!get("viewer-labels")) return;
  onDone = calls.onDone;
  get("viewer-label").addEventListener("submit", (event) => { event.preventDefault(); give(get("viewer-label-name")); });
  get("viewer-tag").addEventListener("submit", (event) => { event.preventDefault(); tag(get("viewer-tag-name")); });
  get("viewer-back").addEventListener("click", () => selection.give([id], null));
  labels.onChange(draw);
}

export function show(shown) {
  id = shown;
  columns = {};
  draw();
}

export function takeColumns(these) {
  columns = these;
  draw();
}

async function give(field) {
  if (field.value.trim() && await selection.give([id], field.value.trim())) field.value = "";
}

async function tag(field) {
  if (field.value.trim() && await selection.change({ ids: [id], add: [field.value.trim()] })) field.value = "";
}

// Digits give a label, and the next image follows. Returns whether the key is one of these.
export function press(event) {
  if (!get("viewer-labels") || get("viewer-labels").hidden) return false;
  if (event.ctrlKey || event.metaKey) return selection.onControlKey(event);
  const name = selection.known()[Number(event.key) - 1];
  if (!/^[1-9]$/.test(event.key) || name === undefined) return false;
  giveNext(name);
  return true;
}

async function giveNext(name) {
  const given = id;
  if (await selection.give([id], name) && id === given) onDone();
}

function tableLabel(column) {
  const label = column === "label" ? columns.label ?? null : null;
  return label === null ? "none yet" : `${label} (the table's)`;
}

function draw() {
  if (!get("viewer-labels") || id === null) return;
  get("viewer-labels").hidden = labels.facts().is_writable === false;
  const column = selection.columnName();
  const { labels: given, tags } = labels.of(id);
  get("viewer-label-words").textContent = given[column] ?? tableLabel(column);
  get("viewer-column").textContent = column === "label" ? "Label" : `Label in ${column}`;
  get("viewer-back").hidden = given[column] === undefined;
  get("viewer-keys").replaceChildren(...selection.known().slice(0, 9).map((name, place) => make(
    "button", { type: "button", ariaPressed: given[column] === name, onclick: () => giveNext(name) }, make("kbd", { textContent: place + 1 }), ` ${name}`)));
  get("viewer-tags").replaceChildren(...tags.map((name) => make(
    "button", { type: "button", ariaLabel: `Remove the tag ${name}`, textContent: `#${name} \u00d7`, onclick: () => selection.change({ ids: [id], remove: [name] }) })));
}
