// The keys of all views, on `?` or by the button.

import { get } from "./dom.js";

export function begin() {
  get("help-open").addEventListener("click", () => get("help").showModal());
  document.addEventListener("keydown", (event) => {
    if (event.key !== "?" || event.ctrlKey || event.metaKey || event.target.matches("input, select, textarea") || get("help").open) return;
    event.preventDefault();
    get("help").showModal();
  });
}
