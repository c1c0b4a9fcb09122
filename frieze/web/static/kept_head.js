// Keeping a head: trained on the labels of a column as `frieze train` does, with the command that trains the same one.

import { send } from "./api.js";
import { copy, get, percent, say } from "./dom.js";

// The elements have the ids `FORM-name`, `FORM-keep`, ...; `getColumn` names the column of the labels.
export function begin({ form, name, button, kept, words, command, copyButton }, getColumn) {
  get(form).addEventListener("submit", async (event) => {
    event.preventDefault();
    say(null);
    get(button).disabled = true;
    try {
      const answer = await (await send("/heads", { column: getColumn(), name: get(name).value.trim() })).json();
      get(kept).hidden = false;
      get(words).textContent = `Kept as ${answer.out}: right on ${percent(answer.accuracy)} of the labelled images that it held out. The same by hand:`;
      get(command).textContent = answer.command;
    } catch (problem) {
      say(problem);
    }
    get(button).disabled = false;
  });
  get(copyButton).addEventListener("click", () => copy(get(copyButton), get(command).textContent));
}
