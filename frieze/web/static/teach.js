// Teach: a head on a few examples ranks every image, asks about those that help most, and is kept.

import { address, ask, send } from "./api.js";
import { count, get, make, percent, say } from "./dom.js";
import * as curve from "./curve.js";
import * as keptHead from "./kept_head.js";
import * as labels from "./labels.js";
import { Pages } from "./pages.js";
import { setColumn } from "./selection.js";
import { imageTile } from "./tiles.js";

const N_QUESTIONS = 12;
const WAIT_MS = 300; // after an answer, for more of them
let column = null;
let questions = new Map(); // id -> whether it was drawn at random
let pages;
let latest = 0;
let timer = null;
let learned = ""; // the labels that the head was fitted on

export function begin() {
  pages = new Pages(get("ranked"), get("more-ranked"), fetchRanked, toTile);
  get("teach-form").addEventListener("submit", (event) => { event.preventDefault(); start(get("teach-name").value.trim()); });
  get("rank-by").addEventListener("change", () => pages.restart());
  get("rank-again").addEventListener("click", () => pages.restart());
  get("ask-me").addEventListener("click", () => askMe().catch(say));
  const ids = { form: "keep-form", name: "head-name", button: "keep", kept: "kept", words: "kept-words", command: "kept-command", copyButton: "copy-kept" };
  keptHead.begin(ids, () => column);
  labels.onChange(onAnswer);
}

export function show(parameters) {
  const name = parameters.get("name");
  if (name && name !== column) teach(name);
}

function start(name) {
  const hash = `#teach?${new URLSearchParams({ name })}`;
  if (location.hash === hash) teach(name);
  else location.hash = hash;
}

// `label` has the classes of the collection; any other name is a question of its own: NAME, or not.
function teach(name) {
  column = get("teach-name").value = name;
  const usual = name === "label" ? [] : [name, `not ${name}`];
  setColumn(name, usual, (id) => questions.get(id) ?? false);
  get("rank-by").replaceChildren();
  get("taught").hidden = false;
  get("head-name").value = name.replaceAll(/[^\w .-]+/g, "-").replace(/^[ .-]+/, "") || "head";
  get("kept").hidden = true;
  askMe().catch(say);
}

async function learn(options) {
  const of = get("rank-by").value || null;
  const post = (by) => send("/teach", { column, of: by, n: 0, ask: 0, ...options });
  const answer = await post(of).catch((problem) => {
    if (of === null) throw problem;
    get("rank-by").replaceChildren(); // the last example of that label may have been taken back
    return post(null);
  });
  return answer.json();
}

async function askMe() {
  const number = ++latest;
  learned = labels.describe(column);
  const document = await learn({ ask: N_QUESTIONS });
  if (number !== latest) return;
  questions = new Map(document.questions.map((one) => [one.id, one.held_out]));
  get("questions").replaceChildren(...[...questions.keys()].map((id) => toTile({ id })));
  get("questions-words").textContent = questions.size ? "Answer by the keys below: the next one follows." : "Every image has an answer.";
  get("questions").querySelector(".tile")?.focus({ preventScroll: true });
  showTaught(document);
  pages.restart();
}

// Questions that are answered bring new ones; until then the head learns, and the questions stay where they are.
function onAnswer() {
  if (column === null || get("teach").hidden || labels.describe(column) === learned) return;
  clearTimeout(timer);
  timer = setTimeout(() => {
    const isOpen = [...questions.keys()].some((id) => !labels.of(id).labels[column]);
    (isOpen ? relearn() : askMe()).catch(say);
  }, WAIT_MS);
}

async function relearn() {
  const number = ++latest;
  learned = labels.describe(column);
  const document = await learn({});
  if (number !== latest) return;
  showTaught(document);
  if (get("ranked").getBoundingClientRect().top > 0) pages.restart(); // else it would move away from who looks at it
}

async function fetchRanked(start, n) {
  const { ranked, of, rows } = await learn({ start, n });
  get("ranked-title").textContent = of === null ? "Nothing to rank by yet: give one image a label" : `Ranked by ${of}`;
  return { total: rows, items: ranked };
}

function toTile({ id, score, answer }) {
  const lines = score === undefined ? [[id, "quiet"]] : [[score.toFixed(3), "score"], [id, "quiet"]];
  return imageTile(id, lines, { kind: answer ? "answered" : "" });
}

function showTaught({ classes, n_unsure: nUnsure, held_out: heldOut, of }) {
  const by = get("rank-by");
  by.replaceChildren(...classes.map(({ label }) => make("option", { value: label, textContent: label, selected: label === (by.value || preferred(of)) })));
  get("teach-counts").textContent = [
    ...classes.map(({ label, n_answers: n, n_sure: sure }) => `${label}: ${count(n, "example")}, sure of ${count(sure, "image")}.`),
    `Unsure: ${count(nUnsure, "image")}.`,
  ].join(" ");
  get("teach-accuracy").textContent = heldOut.accuracy === null
    ? "Its accuracy is measured on one question in five, which is drawn at random."
    : `Right on ${heldOut.n_right} of ${heldOut.n} images drawn at random: ${percent(heldOut.accuracy)}, with 95 % confidence ${percent(heldOut.interval[0])} to ${percent(heldOut.interval[1])}.`;
  drawCurve().catch(say);
}

// The curve follows what is shown already: it never delays the next question. One of fewer answers that comes late is dropped.
async function drawCurve() {
  const [of, number] = [column, latest];
  const answer = await ask(address("/curve", { column: of }));
  if (of === column && number === latest) curve.show(answer);
}

const preferred = (of) => ([...get("rank-by").options].some(({ value }) => value === column) ? column : of);
