// Classes: the images of each label.

import { address, ask } from "./api.js";
import { count, get, make } from "./dom.js";
import { Pages } from "./pages.js";
import { imageTile } from "./tiles.js";

let pages;

export function begin(facts) {
  const options = facts.labels.map(({ label, images }) => make("option", { value: label ?? "", textContent: `${label ?? "(no label)"} (${images.toLocaleString()})` }));
  get("label").append(...options);
  const fetchPage = async (start, n) => {
    const label = get("label").value;
    const { total, images } = await ask(address("/images", { start, n }) + `&label=${encodeURIComponent(label)}`);
    if (label === get("label").value) get("label-count").textContent = count(total, "image");
    return { total, items: images };
  };
  pages = new Pages(get("class-grid"), get("more-class"), fetchPage, (image) => imageTile(image.id, [[image.id, "quiet"]]));
  get("label").addEventListener("change", () => { location.hash = `#classes?${new URLSearchParams({ label: get("label").value })}`; });
}

let shown = null;

export function show(parameters) {
  const label = parameters.get("label") ?? get("label").value;
  get("label").value = label;
  if (label === shown) return;
  shown = label;
  pages.restart();
}
