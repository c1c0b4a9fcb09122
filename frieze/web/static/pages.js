// A grid that grows as one scrolls, and holds only the tiles around what is seen, so that a million images scroll.

import { make, say } from "./dom.js";

const SIZE = 60;
const MOST = 600; // tiles that a grid holds
const all = new WeakMap(); // grid -> its pages

// What makes a grid longer at its end (1) or at its beginning (-1), where it can be.
export function growthOf(grid, by) {
  const pages = all.get(grid);
  if (!pages || (by > 0 ? pages.more.hidden : pages.before.hidden)) return null;
  return () => (by > 0 ? pages.next() : pages.previous());
}

// Where a grid's tiles lie in the whole list; null for a grid that is all there is.
export const rangeOf = (grid) => { const pages = all.get(grid); return pages?.isOn ? { first: pages.first, total: pages.total } : null; };

export class Pages {
  constructor(grid, more, fetchPage, toTile) {
    Object.assign(this, { grid, more, fetchPage, toTile, turn: 0, first: 0, start: 0, total: 0, busy: false, isOn: false });
    all.set(grid, this);
    this.before = make("div", { className: "before", hidden: true }); // above it stands what was dropped
    grid.before(this.before);
    more.addEventListener("click", () => this.next());
    this.watch(more, () => this.next());
    this.watch(this.before, () => this.previous());
  }

  watch(element, act) {
    new IntersectionObserver((entries) => { if (entries.some((entry) => entry.isIntersecting)) act(); }, { rootMargin: "600px" }).observe(element);
  }

  // Begins again, at the first image or at another one.
  async restart(from = 0) {
    this.stop();
    this.isOn = true;
    this.first = this.start = from;
    this.grid.replaceChildren();
    await this.next();
  }

  // Leaves the grid to others, until it begins again.
  stop() {
    Object.assign(this, { turn: this.turn + 1, busy: false, isOn: false });
    this.more.hidden = this.before.hidden = true;
  }

  async next() {
    await this.load(this.start, SIZE, (tiles) => {
      this.grid.append(...tiles);
      this.start += tiles.length;
      this.drop(this.grid.children.length - MOST, true);
      this.more.hidden = this.start >= this.total || tiles.length === 0;
    });
  }

  async previous() {
    const size = Math.min(this.first, this.wholeRows(SIZE));
    if (!size) return;
    await this.load(this.first - size, size, (tiles) => {
      this.hold(() => this.grid.prepend(...tiles));
      this.first -= tiles.length;
      this.drop(this.grid.children.length - MOST, false);
    });
  }

  async load(start, size, take) {
    if (this.busy || !this.isOn) return;
    this.busy = true;
    const { turn } = this;
    try {
      const { total, items } = await this.fetchPage(start, size);
      if (turn !== this.turn) return;
      this.total = total;
      take(items.map(this.toTile));
      this.before.hidden = this.first === 0;
    } catch (problem) {
      if (turn === this.turn) say(problem);
    }
    if (turn === this.turn) this.busy = false;
  }

  // Drops whole rows of tiles, at the beginning or at the end, that are far from what is seen.
  drop(n, isBeginning) {
    const size = this.wholeRows(n);
    if (size <= 0) return;
    if (isBeginning) {
      this.hold(() => { for (let left = size; left; left -= 1) this.grid.firstElementChild.remove(); });
      this.first += size;
    } else {
      for (let left = size; left; left -= 1) this.grid.lastElementChild.remove();
      this.start -= size;
      this.more.hidden = false;
    }
  }

  wholeRows(n) {
    const columns = getComputedStyle(this.grid).gridTemplateColumns.split(" ").length;
    return Math.max(n < 0 ? 0 : Math.floor(n / columns) * columns, n === SIZE ? columns : 0);
  }

  // Changes what is above without moving what is seen.
  hold(change) {
    const tile = this.grid.lastElementChild;
    const top = tile?.getBoundingClientRect().top;
    change();
    if (tile?.isConnected) scrollBy(0, tile.getBoundingClientRect().top - top);
  }
}
