// Shows the view that the address names.

import { ask, takeToken } from "./api.js";
import * as dom from "./dom.js";
import * as classes from "./classes.js";
import * as duplicates from "./duplicates.js";
import * as help from "./help.js";
import * as map from "./map_view.js";
import * as mistakes from "./mistakes.js";
import * as search from "./search.js";
import * as selection from "./selection.js";
import * as teach from "./teach.js";
import * as tiles from "./tiles.js";
import * as viewer from "./viewer.js";

const { count, get, say } = dom;
const VIEWS = { search, classes, mistakes, duplicates, map, teach };

function showView() {
  const [name, parameters] = location.hash.slice(1).split("?");
  const view = VIEWS[name] && get(name) ? name : "search";
  for (const other of Object.keys(VIEWS)) {
    const section = get(other);
    if (section) section.hidden = other !== view;
  }
  for (const link of document.querySelectorAll("nav a")) {
    if (link.hash.split("?")[0] === `#${view}`) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  return [VIEWS[view], new URLSearchParams(parameters ?? "")];
}

function route() {
  say(null);
  takeToken();
  const [view, parameters] = showView();
  view.show(parameters);
}

takeToken(); // before anything is waited for: who clicks meanwhile leaves the address that has it
try {
  const facts = await ask("/collection");
  get("facts").textContent = `${count(facts.rows, "image")}, backbone ${facts.backbone}`;
  get("stale").textContent = facts.stale ?? "";
  get("stale").hidden = facts.stale === null;
  search.begin(facts);
  classes.begin(facts);
  duplicates.begin();
  mistakes.begin();
  tiles.begin({ open: viewer.open, like: search.like });
  help.begin();
  viewer.begin({ like: search.like, search: search.upload });
  document.addEventListener("keydown", tiles.onKey);
  map.begin(dom);
  if (get("teach")) {
    selection.begin(facts).catch(say);
    teach.begin();
  }
  window.addEventListener("hashchange", route);
  route();
} catch (problem) {
  say(problem);
}
