// Two images side by side: blink between them, show their difference, and decide by key which one to keep.

import { address, ask } from "./api.js";
import { decide, kept, undo } from "./decisions.js";
import { count, get, isPart, make } from "./dom.js";
import { difference, toText } from "./duplicate_sets.js";

const BLINK_MS = 500;
const NOT_ALIGNED = /cropped|mirrored|turned|framed/;
const SAID = { id: "left kept", other: "right kept", both: "both kept" };
const KEYS = {
  1: () => choose("id"), ArrowLeft: () => choose("id"), 2: () => choose("other"), ArrowRight: () => choose("other"),
  3: () => choose("both"), " ": () => choose("both"), u: takeBack, b: blink, d: showDifference, w: showWhole, n: () => move(1), p: () => move(-1),
};

let pairs = [];
let place = 0;
let latest = 0; // number of the pair that was shown last: what comes late for another is dropped
let timer = null;
let onMove;
let isWhole = false; // parts of images are shown in their images, outlined

const stage = () => get("pair-stage");
const figures = () => [...stage().querySelectorAll("figure")];

export function begin(calls) {
  onMove = calls.onMove;
  const dialog = get("pair");
  dialog.addEventListener("keydown", press);
  dialog.addEventListener("close", () => { reset(); calls.onClose(pairs[place]); });
  get("pair-close").addEventListener("click", hide);
  for (const button of dialog.querySelectorAll("[data-key]")) button.addEventListener("click", KEYS[button.dataset.key]);
  window.addEventListener("hashchange", () => { if (!location.hash.startsWith("#duplicates?")) hide(); });
}

export const hide = () => get("pair").close();

export function show(all, number) {
  [pairs, place] = [all, number];
  if (!get("pair").open) get("pair").showModal();
  get("pair-title").focus({ preventScroll: true });
  reset();
  const { id, other } = pairs[place];
  get("pair").querySelector('[data-key="w"]').hidden = !isPart(id) && !isPart(other);
  mark("w", isWhole);
  latest += 1;
  figures().forEach((figure, side) => fill(figure, side ? other : id, side, latest));
  tell();
}

function press(event) {
  const isButton = event.target.tagName === "BUTTON" && event.key === " ";
  const act = KEYS[event.key.length === 1 ? event.key.toLowerCase() : event.key];
  if (!act || isButton || event.ctrlKey || event.metaKey || event.altKey) return;
  event.preventDefault();
  if (!event.repeat || act === KEYS.n || act === KEYS.p) act(); // a key that is held decides once
}

async function fill(figure, id, side, number) {
  const [image, caption] = figure.children;
  Object.assign(image, { src: address("/picture", { id, whole: isWhole && isPart(id) ? true : null }), alt: id });
  caption.replaceChildren(make("b", { textContent: id }));
  const facts = await ask(address("/image", { id })).catch((problem) => ({ uri: problem.detail }));
  if (number !== latest) return;
  const lines = [sizeOf(facts), facts.uri, side ? comparison(pairs[place]) : pairs[place].isCopy ? "advised to keep" : ""];
  caption.append(...lines.filter(Boolean).map((text) => make("small", { textContent: text })));
}

const sizeOf = ({ width, height, size_bytes: bytes }) => [
  width && height ? `${width} x ${height} pixels` : "", bytes ? count(bytes, "byte") : "",
].filter(Boolean).join(", ");

const comparison = (one) => [
  one.isCopy ? difference(one) : "looks alike, not confirmed as a copy", one.score === undefined ? "" : `score ${toText(one.score)}`,
].filter(Boolean).join(", ");

function tell(said = "") {
  const { id, other } = pairs[place];
  const keep = kept(id, other);
  get("pair-title").textContent = `Pair ${(place + 1).toLocaleString()} of ${pairs.length.toLocaleString()}: ${SAID[keep] ?? "not decided"}`;
  get("pair-words").textContent = said;
  for (const [key, meaning] of [["1", "id"], ["2", "other"], ["3", "both"]]) mark(key, keep === meaning);
  figures().forEach((figure, side) => {
    const isRemoved = keep === (side ? "id" : "other");
    figure.className = keep === null ? "" : isRemoved ? "remove" : "keep";
  });
}

function mark(key, isOn) {
  get("pair").querySelector(`[data-key="${key}"]`).setAttribute("aria-pressed", isOn);
}

function choose(keep) {
  const { id, other } = pairs[place];
  decide(id, other, keep);
  if (place + 1 < pairs.length) onMove(pairs[place + 1]);
  else tell("This was the last pair.");
}

function takeBack() {
  const { id, other } = pairs[place];
  const before = undo();
  if (!before && kept(id, other) !== null) decide(id, other, null);
  const isHere = !before || (before.id === id && before.other === other);
  if (isHere) tell();
  else onMove(before);
}

function move(step) {
  if (pairs[place + step]) onMove(pairs[place + step]);
  else tell(step > 0 ? "This is the last pair." : "This is the first pair.");
}

function showWhole() {
  const { id, other } = pairs[place];
  if (!isPart(id) && !isPart(other)) return;
  isWhole = !isWhole;
  show(pairs, place);
}

function reset() {
  clearInterval(timer);
  timer = null;
  stage().className = "stage";
  get("pair-difference").hidden = true;
  mark("b", false);
  mark("d", false);
}

// Lays one over the other and alternates; where motion is to be reduced, each press of the key alternates once.
function blink() {
  const isStill = matchMedia("(prefers-reduced-motion: reduce)").matches;
  const isOn = stage().classList.contains("blink");
  if (isOn && isStill) return alternate();
  reset();
  if (isOn) return;
  stage().classList.add("blink");
  mark("b", true);
  if (!isStill) timer = setInterval(alternate, BLINK_MS);
}

const alternate = () => stage().classList.toggle("right");

async function showDifference() {
  const isOn = !get("pair-difference").hidden;
  reset();
  if (isOn) return;
  const number = latest;
  const images = figures().map((figure) => figure.firstElementChild);
  try {
    await Promise.all(images.map((image) => image.decode()));
  } catch {
    if (number === latest) tell("One of them cannot be shown.");
    return;
  }
  if (number !== latest) return;
  stage().classList.add("difference");
  get("pair-difference").hidden = false;
  mark("d", true);
  const { isCopy, kind } = pairs[place];
  const isAligned = isCopy && !NOT_ALIGNED.test(kind ?? "");
  const share = drawDifference(get("pair-difference"), ...images);
  tell(`Difference, four times as bright: ${(100 * share).toFixed(1)} % on average, black where equal.${isAligned ? "" : " The two are not aligned."}`);
}

// Draws the absolute difference, the right image stretched over the left one; returns its mean, from 0 to 1.
function drawDifference(canvas, left, right) {
  const [width, height] = [left.naturalWidth, left.naturalHeight];
  Object.assign(canvas, { width, height });
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.drawImage(left, 0, 0);
  context.globalCompositeOperation = "difference";
  context.drawImage(right, 0, 0, width, height);
  const { data } = context.getImageData(0, 0, width, height);
  let sum = 0;
  for (let at = 0; at < data.length; at += 4) sum += data[at] + data[at + 1] + data[at + 2];
  return sum / (255 * 3 * width * height);
}
