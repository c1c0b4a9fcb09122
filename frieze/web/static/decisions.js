// Decisions on pairs of images: which one to keep. The server stores them; until it has, they are kept in this tab.

import { ask, send } from "./api.js";
const made = new Map(); // pair -> {id, other, keep}
const unsent = [];
const undone = []; // what each decision of this tab replaced, the last one at the end
let isSending = false;
let nMade = 0;

const pairOf = (one) => JSON.stringify([one.id, one.other].sort());

export async function load() {
  const nBefore = nMade;
  try {
    const { path, is_writable: isWritable, decisions } = await ask("/decisions");
    if (nMade !== nBefore) return; // what was decided meanwhile may not be in the answer
    made.clear();
    for (const one of [...decisions, ...unsent]) made.set(pairOf(one), one);
    if (unsent.length) await store();
    else tell(isWritable ? `Decisions are stored beside the index, in ${path.split("/").pop()}.` : `${path} can't be written: decisions are kept in this tab only.`);
  } catch ({ detail }) {
    tell(`Decisions are kept in this tab only. ${detail}`);
  }
}

// "id", "other" or "both": which of the two, in this order, is kept; null where nobody has decided.
export function kept(id, other) {
  const one = made.get(pairOf({ id, other }));
  if (!one || one.id === id || one.keep === "both") return one?.keep ?? null;
  return { id: "other", other: "id" }[one.keep] ?? null;
}

export function decide(id, other, keep) {
  undone.push({ id, other, keep: kept(id, other) });
  set({ id, other, keep });
}

// Takes the last decision of this tab back; returns its pair, or null where there is none.
export function undo() {
  const before = undone.pop() ?? null;
  if (before) set(before);
  return before;
}

export const all = () => [...made.values()].filter(({ keep }) => keep !== null);

function set(decision) {
  nMade += 1;
  made.set(pairOf(decision), decision);
  unsent.push(decision);
  store();
}

async function store() {
  if (isSending) return;
  isSending = true;
  try {
    for (; unsent.length; unsent.shift()) await send("/decisions", unsent[0]);
    tell("Every decision is stored.");
  } catch ({ detail, mend }) {
    tell(`Decisions are kept in this tab only. ${detail} ${mend ?? ""}`);
  }
  isSending = false;
}

function tell(words) {
  for (const place of document.querySelectorAll(".decisions-words")) place.textContent = words;
}

window.addEventListener("beforeunload", (event) => { if (unsent.length) event.preventDefault(); });
