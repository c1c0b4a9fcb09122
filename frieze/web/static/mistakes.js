// Mistakes: images whose label differs from the prediction, most confident first.

import { address, askUntilThere } from "./api.js";
import { count, get, percent } from "./dom.js";
import { Pages } from "./pages.js";
import { imageTile } from "./tiles.js";

let pages = null;

const lines = (one) => [[`${one.prediction}, ${percent(one.probability)}`, "wrong"], [`labelled ${one.label}`], [one.id, "quiet"]];

export function show() {
  if (pages?.start) return;
  const fetchPage = async (start, n) => {
    get("mistakes-words").textContent ||= "Predicting every image ...";
    const { total, mistakes } = await askUntilThere(address("/mistakes", { start, n })).catch(fail);
    get("mistakes-words").textContent = total
      ? `${count(total, "image")} that the head takes for another class than the label says, surest first; it may have learnt from some of them.`
      : "The head takes every image for what its label says.";
    return { total, items: mistakes };
  };
  pages ??= new Pages(get("mistakes-grid"), get("more-mistakes"), fetchPage, (one) => imageTile(one.id, lines(one)));
  pages.restart();
}

function fail(problem) {
  get("mistakes-words").textContent = "";
  throw problem;
}
