// A grid over points of a plane, by which those under the pointer, in view or in a lasso are found among few.
// It imports nothing, so that a page without a server can load it from a data URL.

const PER_CELL = 4;
const FEW = 20_000;

export class PointGrid {
  // `xy` has x and y of each point, in [0, 1].
  constructor(xy) {
    this.xy = xy;
    this.n = xy.length / 2;
    this.size = Math.max(1, Math.min(1000, Math.round(Math.sqrt(this.n / PER_CELL))));
    const { n, size } = this;
    const cells = new Int32Array(n);
    this.starts = new Int32Array(size * size + 1);
    for (let row = 0; row < n; row += 1) {
      cells[row] = this.column(xy[2 * row]) * size + this.column(xy[2 * row + 1]);
      this.starts[cells[row] + 1] += 1;
    }
    for (let cell = 0; cell < size * size; cell += 1) this.starts[cell + 1] += this.starts[cell];
    const next = this.starts.slice();
    this.rows = new Int32Array(n);
    for (let row = 0; row < n; row += 1) this.rows[next[cells[row]]++] = row;
  }

  column(place) {
    return Math.max(0, Math.min(this.size - 1, Math.floor(place * this.size)));
  }

  // Calls with each row of the cells that a box touches.
  each([left, low, right, high], act) {
    const [from, to] = [this.column(low), this.column(high)];
    for (let column = this.column(left); column <= this.column(right); column += 1) {
      const end = this.starts[column * this.size + to + 1];
      for (let at = this.starts[column * this.size + from]; at < end; at += 1) act(this.rows[at]);
    }
  }

  // The row of the point nearest to a place; -1 where there is none within reach.
  nearest(x, y, within) {
    const most = Math.min(within, 2 + Math.hypot(x, y));
    for (let reach = Math.min(most, 1 / this.size); ; reach = Math.min(most, 2 * reach)) {
      let [best, least] = [-1, reach * reach];
      this.each([x - reach, y - reach, x + reach, y + reach], (row) => {
        const apart = (this.xy[2 * row] - x) ** 2 + (this.xy[2 * row + 1] - y) ** 2;
        if (apart <= least && (apart < least || best < 0)) [best, least] = [row, apart];
      });
      if (best >= 0 || reach === most) return best;
    }
  }

  // How many rows the cells have that a box touches.
  countNear([left, low, right, high]) {
    let count = 0;
    const [from, to] = [this.column(low), this.column(high)];
    for (let column = this.column(left); column <= this.column(right); column += 1) {
      count += this.starts[column * this.size + to + 1] - this.starts[column * this.size + from];
    }
    return count;
  }

  // The rows in a box, ascending; null where they are more than `most`.
  inBox(box, most) {
    if (this.countNear(box) > FEW) return null; // it takes too long to look at each, at every frame
    const found = [];
    this.each(box, (row) => {
      const [x, y] = [this.xy[2 * row], this.xy[2 * row + 1]];
      if (found.length <= most && x >= box[0] && x <= box[2] && y >= box[1] && y <= box[3]) found.push(row);
    });
    return found.length > most ? null : found.sort((a, b) => a - b);
  }

  // The rows inside a loop, ascending.
  inside(loop) {
    const [across, up] = [loop.map(([x]) => x), loop.map(([, y]) => y)];
    const box = [Math.min(...across), Math.min(...up), Math.max(...across), Math.max(...up)];
    const found = [];
    this.each(box, (row) => { if (isInside(loop, this.xy[2 * row], this.xy[2 * row + 1])) found.push(row); });
    return Int32Array.from(found).sort();
  }
}

// A point is inside where a ray from it crosses the loop an odd number of times.
function isInside(loop, x, y) {
  let inside = false;
  for (let here = 0, before = loop.length - 1; here < loop.length; before = here, here += 1) {
    const [x1, y1] = loop[here];
    const [x2, y2] = loop[before];
    if (y1 > y !== y2 > y && x < ((x2 - x1) * (y - y1)) / (y2 - y1) + x1) inside = !inside;
  }
  return inside;
}
