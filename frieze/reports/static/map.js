// Map: each image a point on a plane; hover shows it, a lasso lists those inside.
// It imports nothing, so that a page without a server can load it from a data URL.

const MOST_LISTED = 200;
const MOST_NAMED = 40;
const NEAR_PX = 12;
const svg = "http://www.w3.org/2000/svg";
let dom; // the functions of dom.js
let loadPoints; // method -> the document of the map
let like; // opens or copies the image that was clicked
let points = null;
let view = { x: 0.5, y: 0.5, zoom: 1 };
let loop = []; // the lasso, in coordinates of the points
let drag = null;
const fingers = new Map(); // where the pointers are that are down
let wasApart = 0; // two of them, in pixels
let cells = new Map();
let spans = [1, 1]; // of the points, across and up
let hovered = -1;

export function begin(page) {
  ({ dom, load: loadPoints, like } = page);
  const canvas = dom.get("canvas");
  dom.get("method").addEventListener("change", load);
  dom.get("whole").addEventListener("click", () => { view = { x: 0.5, y: 0.5, zoom: 1 }; draw(); });
  dom.get("list").addEventListener("click", chooseInView);
  dom.get("copy-chosen").addEventListener("click", () => dom.copy(dom.get("copy-chosen"), chosen.map((row) => points.ids[row]).join("\n")));
  canvas.addEventListener("wheel", (event) => { event.preventDefault(); zoomAt(event.offsetX, event.offsetY, Math.exp(-event.deltaY / 400)); }, { passive: false });
  canvas.addEventListener("pointerdown", press);
  canvas.addEventListener("pointermove", move);
  canvas.addEventListener("pointerup", release);
  canvas.addEventListener("pointercancel", lift);
  canvas.addEventListener("pointerleave", () => hover(-1));
  canvas.addEventListener("keydown", steer);
  new ResizeObserver(draw).observe(canvas);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
}

export function show() {
  if (!points) load();
}

async function load() {
  const method = dom.get("method").value;
  dom.get("map-words").textContent = "Laying out ...";
  try {
    const loaded = await loadPoints(method);
    if (method !== dom.get("method").value) return;
    points = loaded;
    index();
    legend();
    const kept = points.kept === null ? "" : `; the plane keeps ${dom.percent(points.kept)} of the variance`;
    dom.get("map-words").textContent = `${dom.count(points.ids.length, "image")}${kept}`;
    dom.get("chosen").hidden = true;
    draw();
  } catch (problem) {
    dom.get("map-words").textContent = "";
    dom.get("method").value = "pca";
    dom.say(problem);
  }
}

const colour = (code) => (code < 0 ? "#888" : `hsl(${(code * 137.5) % 360} 70% ${matchMedia("(prefers-color-scheme: dark)").matches ? 65 : 42}%)`);

function legend() {
  const named = points.labels.slice(0, MOST_NAMED).map((label, code) => [label, code]);
  if (named.length && points.codes.includes(-1)) named.push(["(no label)", -1]);
  const rest = points.labels.length - MOST_NAMED;
  dom.get("legend").replaceChildren(...named.map(([label, code]) => {
    const dot = document.createElementNS(svg, "svg");
    const circle = document.createElementNS(svg, "circle");
    for (const [name, value] of Object.entries({ cx: "50%", cy: "50%", r: "45%", fill: colour(code) })) circle.setAttribute(name, value);
    dot.append(circle);
    return dom.make("li", {}, dot, label);
  }), ...(rest > 0 ? [dom.make("li", { textContent: `and ${dom.count(rest, "other")}` })] : []));
}

// A coarse grid over the plane, so that the point under the pointer is found among a few.
const GRID = 200;
const cellOf = (x, y) => Math.floor(x * GRID) * (GRID + 1) + Math.floor(y * GRID);

function index() {
  spans = [points.x, points.y].map((values) => values.reduce((most, value) => Math.max(most, 2 * Math.abs(value - 0.5)), 0.01));
  cells = new Map();
  points.x.forEach((x, row) => {
    const key = cellOf(x, points.y[row]);
    if (cells.has(key)) cells.get(key).push(row);
    else cells.set(key, [row]);
  });
}

function scale() {
  const { clientWidth: width, clientHeight: height } = dom.get("canvas");
  return { width, height, side: Math.min(width / spans[0], height / spans[1]) * 0.94 * view.zoom };
}

function toScreen(x, y) {
  const { width, height, side } = scale();
  return [width / 2 + (x - view.x) * side, height / 2 - (y - view.y) * side];
}

function toPoint(left, top) {
  const { width, height, side } = scale();
  return [view.x + (left - width / 2) / side, view.y - (top - height / 2) / side];
}

function draw() {
  const canvas = dom.get("canvas");
  if (!points || !canvas.clientWidth) return;
  const ratio = window.devicePixelRatio || 1;
  canvas.width = canvas.clientWidth * ratio;
  canvas.height = canvas.clientHeight * ratio;
  const brush = canvas.getContext("2d");
  brush.scale(ratio, ratio);
  const size = Math.max(1.5, Math.min(5, 140 * Math.sqrt(view.zoom / points.ids.length)));
  for (const [code, rows] of byCode()) {
    brush.fillStyle = colour(code);
    for (const row of rows) {
      const [left, top] = toScreen(points.x[row], points.y[row]);
      brush.fillRect(left - size / 2, top - size / 2, size, size);
    }
  }
  outline(brush);
}

function byCode() {
  const found = new Map();
  points.codes.forEach((code, row) => (found.has(code) ? found.get(code).push(row) : found.set(code, [row])));
  return found;
}

function outline(brush) {
  brush.strokeStyle = getComputedStyle(document.body).color;
  if (loop.length) {
    brush.beginPath();
    loop.forEach(([x, y]) => brush.lineTo(...toScreen(x, y)));
    brush.closePath();
    brush.stroke();
  }
  if (hovered >= 0) {
    brush.beginPath();
    brush.arc(...toScreen(points.x[hovered], points.y[hovered]), 6, 0, 2 * Math.PI);
    brush.stroke();
  }
}

function zoomAt(left, top, factor) {
  const [x, y] = toPoint(left, top);
  view.zoom = Math.min(200, Math.max(0.5, view.zoom * factor));
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
    like(points.ids[hovered]);
  } else {
    return;
  }
  event.preventDefault();
  if (event.key !== "Enter") hoverMiddle();
}

function hoverMiddle() {
  const { width, height } = scale();
  const row = points ? nearest(width / 2, height / 2, Infinity) : -1;
  if (row < 0) return;
  const [offsetX, offsetY] = toScreen(points.x[row], points.y[row]);
  hover(row, { offsetX, offsetY });
}

function press(event) {
  if (event.button) return;
  dom.get("canvas").setPointerCapture(event.pointerId);
  fingers.set(event.pointerId, [event.offsetX, event.offsetY]);
  const isLasso = dom.get("lasso").checked || event.shiftKey;
  loop = [];
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
  drag.moved += Math.abs(event.offsetX - drag.left) + Math.abs(event.offsetY - drag.top);
  if (drag.isLasso) {
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
    if (row >= 0) like(points.ids[row]);
  }
}

function nearest(left, top, within = NEAR_PX) {
  const [x, y] = toPoint(left, top);
  const reach = within / scale().side;
  let best = -1;
  let least = reach * reach;
  const span = Math.min(GRID, Math.ceil(reach * GRID));
  for (let column = Math.floor(x * GRID) - span; column <= Math.floor(x * GRID) + span; column += 1) {
    for (let line = Math.floor(y * GRID) - span; line <= Math.floor(y * GRID) + span; line += 1) {
      for (const row of cells.get(column * (GRID + 1) + line) ?? []) {
        const distance = (points.x[row] - x) ** 2 + (points.y[row] - y) ** 2;
        if (distance < least) [best, least] = [row, distance];
      }
    }
  }
  return best;
}

function hover(row, event) {
  const card = dom.get("hover");
  card.hidden = row < 0;
  if (row === hovered) return;
  hovered = row;
  draw();
  if (row < 0) return;
  const id = points.ids[row];
  const label = points.labels[points.codes[row]];
  card.querySelector("img").src = dom.thumbnail(id);
  card.querySelector("img").alt = id;
  card.querySelector("figcaption").textContent = label ? `${label}: ${id}` : id;
  const { width, height } = scale();
  card.style.left = `${Math.min(event.offsetX + 14, width - card.offsetWidth)}px`;
  card.style.top = `${Math.max(0, Math.min(event.offsetY + 14, height - card.offsetHeight))}px`;
}

let chosen = [];

// A point is inside where a ray from it crosses the loop an odd number of times.
function isInside(x, y) {
  let inside = false;
  for (let here = 0, before = loop.length - 1; here < loop.length; before = here, here += 1) {
    const [x1, y1] = loop[here];
    const [x2, y2] = loop[before];
    if (y1 > y !== y2 > y && x < ((x2 - x1) * (y - y1)) / (y2 - y1) + x1) inside = !inside;
  }
  return inside;
}

function chooseInView() {
  if (!points) return;
  const { width, height } = scale();
  loop = [[0, 0], [width, 0], [width, height], [0, height]].map(([left, top]) => toPoint(left, top));
  choose();
  loop = [];
  draw();
}

function choose() {
  chosen = points.ids.map((_, row) => row).filter((row) => isInside(points.x[row], points.y[row]));
  dom.get("chosen").hidden = false;
  const rest = chosen.length > MOST_LISTED ? `, the first ${MOST_LISTED} shown` : "";
  dom.get("chosen-title").textContent = `${dom.count(chosen.length, "image")} inside${rest}`;
  const tiles = chosen.slice(0, MOST_LISTED).map((row) => dom.tile(points.ids[row], [[points.labels[points.codes[row]] ?? ""], [points.ids[row], "quiet"]], { onclick: () => like(points.ids[row]) }));
  dom.get("chosen-grid").replaceChildren(...tiles);
}
