// A picture that is zoomed by wheel, keys and two fingers, and moved by dragging.

const MOST = 40;
const STEP_PX = 80;
const SWIPE_PX = 60;

export class Zoom {
  // `onZoom` hears of each change, `onSwipe` of a finger that moves aside on the whole picture.
  constructor(stage, image, { onZoom, onSwipe }) {
    Object.assign(this, { stage, image, onZoom, onSwipe, fingers: new Map(), drag: null, apart: 0 });
    this.fit();
    stage.addEventListener("wheel", (event) => { event.preventDefault(); this.by(Math.exp(-event.deltaY / 400), event); }, { passive: false });
    stage.addEventListener("dblclick", (event) => (this.scale > 1 ? this.fit() : this.by(Math.max(2, this.whole()), event)));
    stage.addEventListener("pointerdown", (event) => this.press(event));
    stage.addEventListener("pointermove", (event) => this.move(event));
    stage.addEventListener("pointerup", (event) => this.release(event));
    stage.addEventListener("pointercancel", (event) => { this.fingers.delete(event.pointerId); this.drag = null; });
    new ResizeObserver(() => this.draw()).observe(stage);
  }

  // Width and height of the picture where it fits the stage, in pixels of the screen.
  fitted() {
    const { naturalWidth: width, naturalHeight: height } = this.image;
    const { clientWidth, clientHeight } = this.stage;
    const share = width ? Math.min(clientWidth / width, clientHeight / height) : 0;
    return [width * share, height * share];
  }

  // The scale at which a pixel of an image of this width is a pixel of the screen.
  whole(width = this.width ?? this.image.naturalWidth) {
    return this.fitted()[0] ? width / this.fitted()[0] / (window.devicePixelRatio || 1) : 1;
  }

  fit() {
    Object.assign(this, { scale: 1, x: 0, y: 0 });
    this.draw();
  }

  by(factor, event = null) {
    const box = this.stage.getBoundingClientRect();
    const [left, top] = event ? [event.clientX - box.x - box.width / 2, event.clientY - box.y - box.height / 2] : [0, 0];
    const scale = Math.min(MOST, Math.max(1, this.scale * factor));
    this.x = left - (left - this.x) * (scale / this.scale);
    this.y = top - (top - this.y) * (scale / this.scale);
    this.scale = scale;
    this.draw();
  }

  pan(right, down) {
    this.x -= right * STEP_PX;
    this.y -= down * STEP_PX;
    this.draw();
  }

  draw() {
    const [width, height] = this.fitted();
    const most = [(width * this.scale - this.stage.clientWidth) / 2, (height * this.scale - this.stage.clientHeight) / 2];
    [this.x, this.y] = [this.x, this.y].map((at, axis) => Math.max(-Math.max(0, most[axis]), Math.min(Math.max(0, most[axis]), at)));
    this.image.style.transform = `translate(${this.x}px, ${this.y}px) scale(${this.scale})`;
    this.stage.classList.toggle("zoomed", this.scale > 1);
    this.onZoom(this.scale / this.whole());
  }

  press(event) {
    if (event.button) return;
    this.stage.setPointerCapture(event.pointerId);
    this.fingers.set(event.pointerId, event);
    this.apart = 0;
    this.drag = this.fingers.size > 1 ? null : { left: event.clientX, top: event.clientY, from: event.clientX, isTouch: event.pointerType === "touch" };
  }

  move(event) {
    if (this.fingers.has(event.pointerId)) this.fingers.set(event.pointerId, event);
    if (this.fingers.size > 1) return this.pinch();
    if (!this.drag) return;
    this.x += event.clientX - this.drag.left;
    this.y += event.clientY - this.drag.top;
    Object.assign(this.drag, { left: event.clientX, top: event.clientY });
    this.draw();
  }

  pinch() {
    const [one, other] = this.fingers.values();
    const apart = Math.hypot(one.clientX - other.clientX, one.clientY - other.clientY);
    if (this.apart) this.by(apart / this.apart, { clientX: (one.clientX + other.clientX) / 2, clientY: (one.clientY + other.clientY) / 2 });
    this.apart = apart;
  }

  release(event) {
    const { drag } = this;
    this.fingers.delete(event.pointerId);
    this.drag = null;
    const aside = drag ? event.clientX - drag.from : 0;
    if (drag?.isTouch && this.scale === 1 && Math.abs(aside) > SWIPE_PX) this.onSwipe(aside < 0 ? 1 : -1);
  }
}
