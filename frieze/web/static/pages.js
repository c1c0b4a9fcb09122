// A grid that grows: one page of images after the other, as one scrolls to its end or asks for more.

import { say } from "./dom.js";

const SIZE = 60;
const all = new WeakMap(); // grid -> its pages

// What makes a grid longer, where it can be.
export function growthOf(grid) {
  const pages = all.get(grid);
  return pages && !pages.more.hidden ? () => pages.next() : null;
}

export class Pages {
  constructor(grid, more, fetchPage, toTile) {
    Object.assign(this, { grid, more, fetchPage, toTile, turn: 0, start: 0, busy: false });
    all.set(grid, this);
    more.addEventListener("click", () => this.next());
    new IntersectionObserver((entries) => { if (entries.some((entry) => entry.isIntersecting)) this.next(); }, { rootMargin: "600px" }).observe(more);
  }

  async restart() {
    this.turn += 1;
    this.start = 0;
    this.busy = false;
    this.grid.replaceChildren();
    await this.next();
  }

  async next() {
    if (this.busy) return;
    this.busy = true;
    const turn = this.turn;
    try {
      const { total, items } = await this.fetchPage(this.start, SIZE);
      if (turn !== this.turn) return;
      this.grid.append(...items.map(this.toTile));
      this.start += items.length;
      this.more.hidden = this.start >= total || items.length === 0;
    } catch (problem) {
      say(problem);
    }
    this.busy = false;
  }
}
