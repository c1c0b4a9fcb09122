// Where the names of values stand on a map: in the middle of the region that is most of all the value's own.
// It imports nothing, so that a page without a server can load it from a data URL.

const SIDE = 32; // cells along a side
const LEAST_SHARE = 0.5; // of the points around, which are the value's
const LEAST_POINTS = 3;

// `xy` has x and y of each point, `codes` a byte for each; returns {code, x, y} of those of the first `n` values that have a region.
export function nameRegions(xy, codes, n) {
  const cells = new Float64Array(SIDE * SIDE * n);
  const all = new Float64Array(SIDE * SIDE);
  const column = (place) => Math.max(0, Math.min(SIDE - 1, Math.floor(place * SIDE)));
  for (let row = 0; row < codes.length; row += 1) {
    const cell = column(xy[2 * row]) * SIDE + column(xy[2 * row + 1]);
    all[cell] += 1;
    if (codes[row] < n) cells[codes[row] * SIDE * SIDE + cell] += 1;
  }
  const around = smooth(all);
  return Array.from({ length: n }, (_, code) => densest(smooth(cells.subarray(code * SIDE * SIDE, (code + 1) * SIDE * SIDE)), around, code)).filter(Boolean);
}

// The cell with most points of a value, among those where most points are the value's.
function densest(own, all, code) {
  let best = -1;
  for (let cell = 0; cell < own.length; cell += 1) {
    const isTypical = own[cell] >= LEAST_POINTS && own[cell] >= LEAST_SHARE * all[cell];
    if (isTypical && (best < 0 || own[cell] > own[best])) best = cell;
  }
  return best < 0 ? null : { code, x: (Math.floor(best / SIDE) + 0.5) / SIDE, y: ((best % SIDE) + 0.5) / SIDE };
}

// Adds what is in the eight cells around each.
function smooth(cells) {
  const sums = new Float64Array(cells.length);
  for (let cell = 0; cell < cells.length; cell += 1) {
    if (!cells[cell]) continue;
    for (const dx of [-1, 0, 1]) {
      for (const dy of [-1, 0, 1]) {
        const [across, up] = [Math.floor(cell / SIDE) + dx, (cell % SIDE) + dy];
        if (across >= 0 && across < SIDE && up >= 0 && up < SIDE) sums[across * SIDE + up] += cells[cell];
      }
    }
  }
  return sums;
}
