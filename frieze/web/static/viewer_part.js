// Part: a box on the picture in the viewer, drawn by dragging or moved by keys, whose pixels are searched for.

import { address } from "./api.js";

const STEP = 0.02; // of the picture, a key
const LEAST = 0.01; // of the picture, wide and high
const MOST_PX = 2048;
const START = { left: 0.25, top: 0.25, right: 0.75, bottom: 0.75 };

export class Part {
  // `zoom` knows where the picture is on the stage; `onChange` hears whether a box is there.
  constructor(stage, zoom, { onChange }) {
    Object.assign(this, { stage, zoom, onChange, box: null, from: null });
    this.frame = stage.appendChild(Object.assign(document.createElement("div"), { className: "viewer-part", hidden: true }));
    for (const [name, act] of [["pointerdown", this.press], ["pointermove", this.move], ["pointerup", this.release]]) {
      stage.addEventListener(name, (event) => act.call(this, event), { capture: true }); // before the picture is moved by it
    }
  }

  get isOn() {
    return this.box !== null;
  }

  start() {
    this.set(START);
  }

  stop() {
    this.set(null);
  }

  set(box) {
    this.box = box;
    this.draw();
    this.onChange();
  }

  // Left, top, width and height of the picture on the stage, in pixels of the screen.
  place() {
    const [width, height] = this.zoom.fitted().map((size) => size * this.zoom.scale);
    return [(this.stage.clientWidth - width) / 2 + this.zoom.x, (this.stage.clientHeight - height) / 2 + this.zoom.y, width, height];
  }

  draw() {
    this.frame.hidden = !this.isOn;
    if (!this.isOn) return;
    const [left, top, width, height] = this.place();
    const { box } = this;
    const pixels = { left: left + box.left * width, top: top + box.top * height, width: (box.right - box.left) * width, height: (box.bottom - box.top) * height };
    for (const [name, value] of Object.entries(pixels)) this.frame.style[name] = `${value}px`;
  }

  // Where a pointer is on the picture, in shares of it.
  at(event) {
    const [left, top, width, height] = this.place();
    const stage = this.stage.getBoundingClientRect();
    return [(event.clientX - stage.x - left) / width, (event.clientY - stage.y - top) / height].map((share) => Math.min(1, Math.max(0, share)));
  }

  press(event) {
    if (event.button || !(this.isOn || event.shiftKey)) return;
    event.stopImmediatePropagation();
    this.stage.setPointerCapture(event.pointerId);
    this.from = this.at(event);
  }

  move(event) {
    if (!this.from) return;
    event.stopImmediatePropagation();
    const [x, y] = this.at(event);
    const [left, right] = [this.from[0], x].sort((one, other) => one - other);
    const [top, bottom] = [this.from[1], y].sort((one, other) => one - other);
    if (right - left >= LEAST && bottom - top >= LEAST) this.set({ left, top, right, bottom });
  }

  release(event) {
    if (!this.from) return;
    event.stopImmediatePropagation();
    this.from = null;
  }

  // Moves the box by a step, or with `isSize` its right and lower edge.
  shift(right, down, isSize) {
    const { box } = this;
    const [x, y] = [right * STEP, down * STEP];
    const clip = (share, least, most) => Math.min(most, Math.max(least, share));
    if (isSize) {
      this.set({ ...box, right: clip(box.right + x, box.left + LEAST, 1), bottom: clip(box.bottom + y, box.top + LEAST, 1) });
      return;
    }
    const [byX, byY] = [clip(x, -box.left, 1 - box.right), clip(y, -box.top, 1 - box.bottom)];
    this.set({ left: box.left + byX, right: box.right + byX, top: box.top + byY, bottom: box.bottom + byY });
  }

  // Returns the box of an image as a file: of all its pixels, not of the smaller picture.
  async cut(id) {
    const { left, top, right, bottom } = this.box;
    const image = new Image();
    image.src = address("/original", { id });
    await image.decode();
    const [width, height] = [(right - left) * image.naturalWidth, (bottom - top) * image.naturalHeight];
    const share = Math.min(1, MOST_PX / Math.max(width, height));
    const canvas = Object.assign(document.createElement("canvas"), { width: Math.max(1, Math.round(width * share)), height: Math.max(1, Math.round(height * share)) });
    const context = canvas.getContext("2d");
    context.imageSmoothingQuality = "high";
    context.drawImage(image, left * image.naturalWidth, top * image.naturalHeight, width, height, 0, 0, canvas.width, canvas.height);
    const blob = await new Promise((resolve) => { canvas.toBlob(resolve, "image/png"); });
    return new File([blob], `part of ${id.split("/").at(-1)}.png`, { type: "image/png" });
  }
}
