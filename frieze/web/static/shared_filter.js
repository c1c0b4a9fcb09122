// What the search and the map share: links that carry the filter and the lasso along, and chips that take one away.

import { address } from "./api.js";
import { make } from "./dom.js";

// Makes a view's link in the head of the page carry parameters along.
export function link(view, parameters) {
  const found = [...document.querySelectorAll("nav a")].find(({ hash }) => hash.split("?")[0] === view);
  if (found) found.href = address(view, parameters);
}

export const chip = (text, onclick) => make("button", { type: "button", className: "chip", textContent: `${text} \u00d7`, ariaLabel: `Remove: ${text}`, onclick });
