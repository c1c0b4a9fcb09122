// Mistakes: images whose label may be wrong, by the head, an audit or retrained heads; as a list, and as a queue.

import { address, askUntilThere } from "./api.js";
import { count, get, make, percent, say } from "./dom.js";
import * as keptHead from "./kept_head.js";
import * as labels from "./labels.js";
import { Pages } from "./pages.js";
import * as queue from "./queue.js";
import { imageTile } from "./tiles.js";

const WAITS = { head: "Predicting every image ...", audit: "Auditing every label: this may take minutes ...", retrained: "Retraining ..." };
const FOUND = {
  head: "that the head takes for another class than the label says, surest first; it may have learnt from some of them.",
  audit: "whose label the audit doubts: heads that were not fitted on it, and its neighbours, say otherwise.",
  retrained: "that the retrained heads, none of which was fitted on it, take for another class.",
};
const NONE = { head: "The head takes every image for what its label says.", audit: "The audit doubts no label.", retrained: "The retrained heads agree with every label." };
let pages = null;
let shown = null;
let latest = 0; // number of the list that was asked for last: what comes late for another is dropped

const lines = (one) => [[`${one.prediction}, ${percent(one.probability)}`, "wrong"], [`labelled ${one.label}`], [one.id, "quiet"]];
const source = () => get("mistakes-source").value;
const hasQueue = () => get("queue") !== null;

export function begin() {
  if (!get("mistakes")) return;
  get("mistakes-bar").addEventListener("submit", (event) => event.preventDefault());
  get("mistakes-source").addEventListener("change", list);
  pages = new Pages(get("mistakes-grid"), get("more-mistakes"), (start, n) => fetchPage(start, n), (one) => imageTile(one.id, lines(one)));
  if (!hasQueue()) return;
  queue.begin({ onDecided: tellDecided });
  get("retrain").addEventListener("click", () => retrain().catch(say));
  const ids = { form: "corrected-form", name: "corrected-name", button: "corrected-keep", kept: "corrected", words: "corrected-words", command: "corrected-command", copyButton: "corrected-copy" };
  keptHead.begin(ids, () => "label");
}

export function show() {
  if (shown !== source()) list();
}

async function list() {
  const number = ++latest;
  if (hasQueue()) get("queue").hidden = true; // no decision on the list before
  shown = source();
  get("mistakes-words").textContent = WAITS[shown];
  get("mistakes-title").hidden = true;
  await pages.restart();
  if (hasQueue() && number === latest && pages.start) await labels.load().then(() => number === latest && queue.start(fetchQueue())).catch(say);
}

async function fetchPage(start, n) {
  const from = source();
  const { total, mistakes } = await askUntilThere(address("/mistakes", { source: from, start, n })).catch(fail);
  if (from !== source()) return { total: 0, items: [] };
  get("mistakes-words").textContent = total ? `${count(total, "image")} ${FOUND[from]}` : NONE[from];
  get("mistakes-title").hidden = !total;
  return { total, items: mistakes };
}

function fetchQueue() {
  const from = source();
  return async (start) => {
    const { total, mistakes } = await askUntilThere(address("/mistakes", { source: from, start, n: 60 }));
    return { total, items: mistakes };
  };
}

function fail(problem) {
  get("mistakes-words").textContent = "";
  shown = null;
  throw problem;
}

function tellDecided({ nDecided, isEnd }) {
  get("corrected-form").hidden = !Object.keys(labels.facts().columns.label ?? {}).length;
  if (isEnd) get("mistakes-words").textContent = `${nDecided ? `${nDecided.toLocaleString()} decided, and no` : "No"} image is left in this list. "Retrain" learns from the decisions and looks again.`;
}

async function retrain() {
  say(null);
  get("retrain").disabled = true;
  get("retrained-words").hidden = false;
  get("retrained-words").textContent = WAITS.retrained;
  try {
    const answer = await askUntilThere("/retrain", { method: "POST" });
    get("retrained-words").textContent = describe(answer);
    if (![...get("mistakes-source").options].some(({ value }) => value === "retrained")) {
      get("mistakes-source").append(make("option", { value: "retrained", textContent: "Mistakes of the retrained heads" }));
    }
    get("mistakes-source").value = "retrained";
    await list();
  } catch (problem) {
    get("retrained-words").hidden = true;
    throw problem;
  } finally {
    get("retrain").disabled = false;
  }
}

const share = ({ accuracy, interval }) => `${(100 * accuracy).toFixed(1)}\u00a0% (${(100 * interval[0]).toFixed(1)} to ${(100 * interval[1]).toFixed(1)})`;

const describe = ({ n, n_corrected: corrected, n_confirmed: confirmed, before, after }) => `${count(corrected, "label")} corrected, ${confirmed.toLocaleString()} kept. `
  + `Learned from the labels as they were: right on ${share(before)}; as they are now: ${share(after)}. With 95 % confidence, on ${count(n, "image")}, `
  + "each judged by its label as it is now and by a head that was not fitted on it.";
