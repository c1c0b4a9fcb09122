// Elements of the page. Text always enters as text: a name or label is never markup.

export const get = (id) => document.getElementById(id);

export function make(tag, properties = {}, ...children) {
  const element = Object.assign(document.createElement(tag), properties);
  element.append(...children);
  return element;
}

export const count = (n, word) => `${n.toLocaleString()} ${word}${n === 1 ? "" : "s"}`;
export const percent = (share) => `${(100 * share).toFixed(0)}\u00a0%`;

// The URL of a thumbnail: on the server, or in a page that holds its own.
const pictures = get("data") ? JSON.parse(get("data").textContent).pictures : null;
export const thumbnail = (id) => (pictures ? pictures[id] ?? "data:," : `/thumbnail?id=${encodeURIComponent(id)}`);

// Whether an id names a part of an image: IMAGE#x,y,width,height.
export const isPart = (id) => /#-?\d+,-?\d+,-?\d+,-?\d+$/.test(id ?? "");

export function say(problem) {
  const message = document.querySelector("dialog[open] .message") ?? get("message"); // what lies below a dialog is not seen
  message.textContent = problem ? [problem.detail, problem.mend].filter(Boolean).join("\n") : "";
  message.hidden = !problem;
}

// A button with an image's picture and some lines below it; the picture is fetched as one scrolls to it.
export function tile(id, lines, { onclick, kind = "" } = {}) {
  const picture = make("img", { loading: "lazy", decoding: "async", alt: id, src: thumbnail(id) });
  picture.onerror = () => picture.replaceWith(make("span", { className: "lost", textContent: "cannot be shown" }));
  const captions = lines.filter(([text]) => text !== null && text !== "")
    .map(([text, className = ""]) => make("small", { className, textContent: text }));
  return make("button", { type: "button", className: `tile ${kind}`, title: id, onclick }, picture, ...captions);
}

const cell = (value) => (typeof value === "number" ? value : `"${String(value).replaceAll('"', '""')}"`);

export function download(name, columns, rows) {
  const lines = [columns, ...rows.map((row) => row.map(cell))].map((row) => `${row.join(",")}\n`);
  const href = URL.createObjectURL(new Blob(lines, { type: "text/csv" }));
  make("a", { href, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(href), 60_000);
}

export async function copy(button, text) {
  const words = button.textContent;
  try {
    await navigator.clipboard.writeText(text);
    button.textContent = "Copied";
  } catch {
    button.textContent = "Not allowed here";
  }
  setTimeout(() => { button.textContent = words; }, 1500);
}
