// Mistakes: what the head takes for another class, surest first.

import { address, askUntilThere } from "./api.js";
import { get, say, tile } from "./dom.js";
import { Pages } from "./pages.js";
import { like } from "./search.js";

let pages = null;

const lines = (one) => [[`${one.prediction}, ${(100 * one.probability).toFixed(0)} %`, "wrong"], [`labelled ${one.label}`], [one.id, "quiet"]];

export function show() {
  if (pages) return;
  const fetchPage = async (start, n) => {
    const { total, mistakes } = await askUntilThere(address("/mistakes", { start, n }));
    get("mistakes-words").textContent = `${total.toLocaleString()} images are taken for another class than their label. Those that the head learnt from are among them.`;
    return { total, items: mistakes };
  };
  pages = new Pages(get("mistakes-grid"), get("more-mistakes"), fetchPage, (one) => tile(one.id, lines(one), { onclick: () => like(one.id) }));
  pages.restart().catch(say);
}
