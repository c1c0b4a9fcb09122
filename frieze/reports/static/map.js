// Map: each image a point on a plane; hover shows it, a lasso takes those inside, near ones are pictures.
// It imports nothing, so that a page without a server can load it from a data URL.

const NEAR_PX = 12;
const FINE_PX = 3; // between corners of a lasso
const MOST_CORNERS = 300;
const PICTURE_PX = 52;
const MOST_IN_VIEW = 400; // points: with more in view none is a picture
const MOST_NAMED = 40; // values
const NAMES = { tsne: "t-SNE", umap: "UMAP", pca: "PCA" };
const RAMP = [[72, 33, 115], [59, 82, 139], [33, 145, 140], [94, 201, 98], [223, 206, 37]]; // viridis, without its ends
const GREY = [136, 136, 136];
const svg = "http://www.w3.org/2000/svg";
const dark = matchMedia("(prefers-color-scheme: dark)");
export const [OTHER, NONE] = [254, 255]; // colours of values without one of their own, and of no value

let page; // what the page brings: dom, Scatter, PointGrid, load, describe, open, choose
let dom;
let points = null; // { xy, method, kept }
let grid;
let scatter;
let colours = { kind: "values", n: 1 };
let names = []; // {text, x, y} of regions
let view = { x: 0.5, y: 0.5, zoom: 1 };
let spans = [1, 1]; // of the points, across and up
let loop = []; // the lasso, in coordinates of the points
let drag = null;
let hovered = -1;
let isDrawing = false;
const fingers = new Map(); // where the pointers are that are down
let wasApart = 0; // two of them, in pixels
let pictures = new Map(); // row -> its image, or null until it is asked for

export function begin(these) {
  page = these;
  ({ dom } = page);
  const canvas = dom.get("canvas");
  scatter = new page.Scatter(dom.get("points"));
  dom.get("method").addEventListener("change", load);
  dom.get("whole").addEventListener("click", () => { view = { x: 0.5, y: 0.5, zoom: 1 }; draw(); });
  dom.get("list").addEventListener("click", chooseInView);
  dom.get("names").addEventListener("change", draw);
  canvas.addEventListener("wheel", (event) => { event.preventDefault(); zoomAt(event.offsetX, event.offsetY, Math.exp(-event.deltaY / 400)); }, { passive: false });
  canvas.addEventListener("pointerdown", press);
  canvas.addEventListener("pointermove", move);
  canvas.addEventListener("pointerup", release);
  canvas.addEventListener("pointercancel", lift);
  canvas.addEventListener("pointerleave", () => hover(-1));
  canvas.addEventListener("keydown", steer);
  new ResizeObserver(draw).observe(canvas);
  dark.addEventListener("change", () => { paint(); page.repaint?.(); });
}

// Whether points are there already.
export async function show() {
  if (!points) await load();
  else draw();
}

export const method = () => dom.get("method").value;
export const n = () => (points ? points.xy.length / 2 : 0);

async function load() {
  const wanted = method();
  dom.get("map-words").textContent = "Laying out ...";
  try {
    const loaded = await page.load(wanted);
    if (wanted !== method()) return;
    points = loaded;
    grid = new page.PointGrid(points.xy);
    spans = [0.01, 0.01];
    points.xy.forEach((value, at) => { spans[at % 2] = Math.max(spans[at % 2], 2 * Math.abs(value - 0.5)); });
    Object.assign(view, { x: 0.5, y: 0.5, zoom: 1 });
    [pictures, loop, hovered, names] = [new Map(), [], -1, []];
    scatter.setPoints(points.xy);
    const kept = points.kept === null ? "" : `; the plane keeps ${dom.percent(points.kept)} of the variance`;
    dom.get("map-words").textContent = `${dom.count(n(), "image")} by ${NAMES[points.method]}${kept}`;
    draw();
    page.onLoad();
  } catch (problem) {
    dom.get("map-words").textContent = "";
    dom.get("method").value = "tsne";
    dom.say(problem);
  }
}

// Colours the points: `codes` has a byte for each, `texts` the name of each colour, of `values` or along a ramp.
export function colour(codes, kind, texts) {
  colours = { kind, n: texts.length };
  const regions = kind === "values" ? page.nameRegions(points.xy, codes, Math.min(texts.length, MOST_NAMED)) : [];
  names = regions.map(({ code, x, y }) => ({ text: texts[code], x, y }));
  scatter.setColours(codes, palette());
  draw();
}

// Shows the points whose byte is 1, and all others faintly; null shows all.
export function showOnly(bytes) {
  scatter.setShown(bytes);
  draw();
}

function paint() {
  scatter.setColours(scatter.codes, palette());
  draw();
}

export const colourOf = (code) => palette()[code];

function palette() {
  const { kind, n: size } = colours;
  return Array.from({ length: 256 }, (_, code) => (code >= OTHER ? GREY : kind === "values" ? hue(code) : onRamp(size > 1 ? code / (size - 1) : 0)));
}

function hue(code) {
  const [angle, light] = [(code * 137.5) % 360, dark.matches ? 0.65 : 0.42];
  const part = (shift) => {
    const at = (shift + angle / 30) % 12;
    return Math.round(255 * (light - 0.7 * Math.min(light, 1 - light) * Math.max(-1, Math.min(at - 3, 9 - at, 1))));
  };
  return [part(0), part(8), part(4)];
}

function onRamp(share) {
  const at = Math.min(RAMP.length - 1, Math.max(0, share * (RAMP.length - 1)));
  const [low, high] = [RAMP[Math.floor(at)], RAMP[Math.ceil(at)]];
  return low.map((value, place) => Math.round(value + (high[place] - value) * (at % 1)));
}

// Entries {text, code, onclick, isChosen, count}: one with an action is a button.
export function legend(entries) {
  dom.get("legend").replaceChildren(...entries.map((entry) => {
    const parts = [...(entry.code === undefined ? [] : [dot(entry.code)]), entry.text, ...(entry.count === undefined ? [] : [dom.make("span", { className: "quiet", textContent: ` ${entry.count.toLocaleString()}` })])];
    if (!entry.onclick) return dom.make("li", {}, ...parts);
    return dom.make("li", {}, dom.make("button", { type: "button", ariaPressed: entry.isChosen, onclick: entry.onclick }, ...parts));
  }));
}

function dot(code) {
  const [picture, circle] = ["svg", "circle"].map((name) => document.createElementNS(svg, name));
  for (const [name, value] of Object.entries({ cx: "50%", cy: "50%", r: "45%", fill: `rgb(${colourOf(code).join()})` })) circle.setAttribute(name, value);
  picture.append(circle);
  return picture;
}

function scale() {
  const { clientWidth: width, clientHeight: height } = dom.get("canvas");
  return { width, height, side: Math.min(width / spans[0], height / spans[1]) * 0.94 * view.zoom };
}

function toScreen(row) {
  const { width, height, side } = scale();
  return [width / 2 + (points.xy[2 * row] - view.x) * side, height / 2 - (points.xy[2 * row + 1] - view.y) * side];
}

function toPoint(left, top) {
  const { width, height, side } = scale();
  return [view.x + (left - width / 2) / side, view.y - (top - height / 2) / side];
}

// Draws once before the next frame, however often it is called.
function draw() {
  if (isDrawing) return;
  isDrawing = true;
  requestAnimationFrame(() => { isDrawing = false; drawNow(); });
}

function drawNow() {
  const canvas = dom.get("canvas");
  if (!points || !canvas.clientWidth) return;
  const size = Math.max(1.5, Math.min(6, 220 * Math.sqrt(view.zoom / n())));
  scatter.draw({ x: view.x, y: view.y, side: scale().side, size });
  const ratio = window.devicePixelRatio || 1;
  const [width, height] = [canvas.clientWidth * ratio, canvas.clientHeight * ratio].map(Math.round);
  if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, { width, height });
  const brush = canvas.getContext("2d");
  brush.setTransform(ratio, 0, 0, ratio, 0, 0);
  brush.clearRect(0, 0, canvas.clientWidth, canvas.clientHeight);
  drawPictures(brush);
  if (dom.get("names").checked) drawNames(brush);
  outline(brush);
}

// Names of regions, with a halo; one that would lie over another is left out.
function drawNames(brush) {
  const { width, height, side } = scale();
  const { color, backgroundColor } = getComputedStyle(document.body);
  const taken = [];
  Object.assign(brush, { font: "600 13px system-ui, sans-serif", textAlign: "center", textBaseline: "middle", lineJoin: "round", lineWidth: 4, strokeStyle: backgroundColor, fillStyle: color });
  for (const { text, x, y } of names) {
    const [left, top] = [width / 2 + (x - view.x) * side, height / 2 - (y - view.y) * side];
    const half = brush.measureText(text).width / 2;
    if (taken.some((one) => Math.abs(one.left - left) < one.half + half && Math.abs(one.top - top) < 18)) continue;
    taken.push({ left, top, half });
    brush.strokeText(text, left, top);
    brush.fillText(text, left, top);
  }
  brush.lineWidth = 1;
}

// Where few points are in view they are pictures, as far as there is room; the frame has the point's colour.
function drawPictures(brush) {
  if (!page.describe || drag?.isLasso) return;
  const { width, height } = scale();
  const [[left, high], [right, low]] = [toPoint(0, 0), toPoint(width, height)];
  const rows = grid.inBox([left, low, right, high], MOST_IN_VIEW) ?? [];
  const places = new Map();
  for (const row of rows) {
    const [x, y] = toScreen(row);
    const isTaken = (dx, dy) => (places.get(`${Math.floor(x / PICTURE_PX) + dx} ${Math.floor(y / PICTURE_PX) + dy}`) ?? []).some(([a, b]) => Math.abs(a - x) < PICTURE_PX && Math.abs(b - y) < PICTURE_PX);
    if ((scatter.shown?.[row] ?? 1) === 0 || [-1, 0, 1].some((dx) => [-1, 0, 1].some((dy) => isTaken(dx, dy)))) continue;
    const cell = `${Math.floor(x / PICTURE_PX)} ${Math.floor(y / PICTURE_PX)}`;
    places.set(cell, [...(places.get(cell) ?? []), [x, y, row]]);
  }
  const chosen = [...places.values()].flat();
  askForPictures(chosen.map(([, , row]) => row).filter((row) => !pictures.has(row)));
  for (const [x, y, row] of chosen) drawPicture(brush, x, y, row);
}

function drawPicture(brush, x, y, row) {
  const image = pictures.get(row);
  if (!image?.naturalWidth) return;
  const share = (PICTURE_PX - 8) / Math.max(image.naturalWidth, image.naturalHeight);
  const [width, height] = [image.naturalWidth * share, image.naturalHeight * share];
  brush.fillStyle = `rgb(${colourOf(scatter.codes[row]).join()})`;
  brush.fillRect(x - width / 2 - 2, y - height / 2 - 2, width + 4, height + 4);
  brush.drawImage(image, x - width / 2, y - height / 2, width, height);
}

async function askForPictures(rows) {
  if (!rows.length) return;
  for (const row of rows) pictures.set(row, null);
  const asked = pictures;
  const images = await page.describe(rows).catch(() => []);
  rows.forEach((row, place) => {
    const source = images[place] ? dom.thumbnail(images[place].id) : "data:,";
    if (source !== "data:,") asked.set(row, Object.assign(new Image(), { onload: draw, src: source }));
  });
}

function outline(brush) {
  brush.strokeStyle = getComputedStyle(document.body).color;
  if (loop.length) {
    const { width, height, side } = scale();
    brush.beginPath();
    loop.forEach(([x, y]) => brush.lineTo(width / 2 + (x - view.x) * side, height / 2 - (y - view.y) * side));
    brush.closePath();
    brush.stroke();
  }
  if (hovered >= 0) {
    brush.lineWidth = 2;
    brush.beginPath();
    brush.arc(...toScreen(hovered), 7, 0, 2 * Math.PI);
    brush.stroke();
  }
}

function zoomAt(left, top, factor) {
  const [x, y] = toPoint(left, top);
  view.zoom = Math.min(2000, Math.max(0.5, view.zoom * factor));
  const [newX, newY] = toPoint(left, top);
  view.x += x - newX;
  view.y += y - newY;
  draw();
}

function steer(event) {
  const { width, height } = scale();
  const step = 0.1 / view.zoom;
  const moves = { ArrowLeft: [-step, 0], ArrowRight: [step, 0], ArrowUp: [0, step], ArrowDown: [0, -step] };
  if (event.key in moves) {
    view.x += moves[event.key][0];
    view.y += moves[event.key][1];
    draw();
  } else if (event.key === "+" || event.key === "-") {
    zoomAt(width / 2, height / 2, event.key === "+" ? 1.4 : 1 / 1.4);
  } else if (event.key === "Enter" && hovered >= 0) {
    open(hovered);
  } else {
    return;
  }
  event.preventDefault();
  if (event.key !== "Enter") hoverMiddle();
}

async function open(row) {
  const [image] = await page.describe([row]);
  page.open(image.id);
}

function hoverMiddle() {
  const { width, height } = scale();
  const row = points ? nearest(width / 2, height / 2, Infinity) : -1;
  if (row < 0) return;
  const [offsetX, offsetY] = toScreen(row);
  hover(row, { offsetX, offsetY });
}

function press(event) {
  if (event.button) return;
  dom.get("canvas").setPointerCapture(event.pointerId);
  fingers.set(event.pointerId, [event.offsetX, event.offsetY]);
  const isLasso = dom.get("lasso").checked || event.shiftKey;
  if (isLasso) loop = [];
  wasApart = 0;
  drag = fingers.size > 1 ? null : { left: event.offsetX, top: event.offsetY, isLasso, moved: 0 };
}

function lift(event) {
  fingers.delete(event.pointerId);
  wasApart = 0;
  drag = null;
}

// Two fingers: their distance zooms, about the middle between them.
function pinch(event) {
  fingers.set(event.pointerId, [event.offsetX, event.offsetY]);
  const [[x1, y1], [x2, y2]] = fingers.values();
  const apart = Math.hypot(x1 - x2, y1 - y2);
  if (wasApart) zoomAt((x1 + x2) / 2, (y1 + y2) / 2, apart / wasApart);
  wasApart = apart;
}

function move(event) {
  if (!points) return;
  if (fingers.size > 1) {
    pinch(event);
    return;
  }
  if (!drag) {
    hover(nearest(event.offsetX, event.offsetY), event);
    return;
  }
  const moved = Math.abs(event.offsetX - drag.left) + Math.abs(event.offsetY - drag.top);
  drag.moved += moved;
  if (drag.isLasso) {
    if (moved < FINE_PX && loop.length) return;
    loop.push(toPoint(event.offsetX, event.offsetY));
  } else {
    const { side } = scale();
    view.x -= (event.offsetX - drag.left) / side;
    view.y += (event.offsetY - drag.top) / side;
  }
  drag.left = event.offsetX;
  drag.top = event.offsetY;
  draw();
}

function release(event) {
  const ended = drag;
  lift(event);
  if (!ended || !points) return;
  if (ended.isLasso && loop.length > 2) choose();
  else if (ended.moved < 4) {
    const row = nearest(event.offsetX, event.offsetY);
    if (row >= 0) open(row);
  }
}

const nearest = (left, top, within = NEAR_PX) => grid.nearest(...toPoint(left, top), within / scale().side);

async function hover(row, event) {
  const card = dom.get("hover");
  card.hidden = row < 0;
  if (row === hovered) return;
  hovered = row;
  draw();
  if (row < 0) return;
  const [{ id, label }] = await page.describe([row]);
  if (row !== hovered) return;
  card.querySelector("img").src = dom.thumbnail(id);
  card.querySelector("img").alt = id;
  card.querySelector("figcaption").textContent = label ? `${label}: ${id}` : id;
  const { width, height } = scale();
  card.style.left = `${Math.min(event.offsetX + 14, width - card.offsetWidth)}px`;
  card.style.top = `${Math.max(0, Math.min(event.offsetY + 14, height - card.offsetHeight))}px`;
}

function chooseInView() {
  if (!points) return;
  const { width, height } = scale();
  loop = [[0, 0], [width, 0], [width, height], [0, height]].map(([left, top]) => toPoint(left, top));
  choose();
}

// Takes what is inside the loop, whose corners are rounded so that an address can hold them.
function choose() {
  const every = Math.ceil(loop.length / MOST_CORNERS);
  setLoop(loop.filter((_, place) => place % every === 0).map((corner) => corner.map((value) => Number(value.toFixed(5)))));
  page.choose(loop, grid.inside(loop));
}

// Draws a lasso; none where it is empty.
export function setLoop(corners) {
  loop = corners;
  draw();
}
