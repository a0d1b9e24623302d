// The bars that are loaded, in order of start, each with what the page computes of it.
//
//     part          batch, both or speed: which layer its trades come from
//     delta         bought less sold, exact: a whole number of 1e-8
//     cumulative    the sum of delta from the oldest loaded bar on
//     correction    why a bar changed after it was closed; undefined where it did not
//
// A merged bar is compared with the bar that the batch view alone gives for the same start:
//
//     as many trades   ->  "batch"   every trade of it lies below the cut
//     fewer trades     ->  "both"    the cut runs through it, or late trades came to it
//     no such bar      ->  "speed"   every trade of it lies at or behind the cut

import { units } from "./format.js";

export class Series {
  constructor() {
    this.bars = [];
    this._batch = new Map();
    this._corrections = new Map();
  }

  /** Take bars instead of all there are, or, with `keep`, instead of those from the first of them on. */
  replace(bars, keep = false) {
    const first = bars[0]?.start ?? Infinity;
    const older = keep ? this.bars.filter((bar) => bar.start < first) : [];
    this.bars = [...older, ...bars.map((bar) => this._made(bar))];
    this._add(older.length);
  }

  /** Take older bars, all of them before the first there is. */
  prepend(bars) {
    const first = this.bars[0]?.start ?? Infinity;
    this.bars = [...bars.filter((bar) => bar.start < first).map((bar) => this._made(bar)), ...this.bars];
    this._add(0);
  }

  /**
   * Take changed bars, whole; those before the oldest loaded one are left out. Returns the index of the first that
   * changed, and whether one came between others, which moves all later ones. A bar that is sent again as it was, as
   * may be when a broken stream goes on, is no correction.
   */
  put(bars, correction) {
    const from = this.bars[0]?.start ?? -Infinity;
    let first = this.bars.length;
    let inserted = false;
    for (const bar of bars) {
      if (bar.start < from) continue;
      const at = this._place(bar.start);
      const known = this.bars[at]?.start === bar.start;
      const changed = !known || this.bars[at].trades !== bar.trades;
      if (bar.correction && changed) this._corrections.set(bar.start, correction);
      inserted ||= !known && at < this.bars.length;
      this.bars.splice(at, known ? 1 : 0, this._made(bar));
      first = Math.min(first, at);
    }
    this._add(first);
    return { first, inserted };
  }

  /** Take the batch view's bars of the same range, those of a new version. */
  takeBatch(bars, keep = false) {
    if (!keep) this._batch.clear();
    for (const { start, trades, volume } of bars) this._batch.set(start, { trades, volume });
    this.bars = this.bars.map((bar) => this._made(bar));
    this._add(0);
  }

  /** Mark bars that changed after they were closed: start -> why. */
  correct(starts) {
    for (const [start, why] of starts) this._corrections.set(start, why);
    this.bars = this.bars.map((bar) => (starts.has(bar.start) ? { ...bar, correction: starts.get(bar.start) } : bar));
  }

  /** Closed bars of `bars` that are not what was loaded: what a stream would have marked. */
  changed(bars) {
    return bars.filter((bar) => {
      const known = this.bars[this._place(bar.start)];
      return known?.start === bar.start && known.closed && known.trades !== bar.trades;
    });
  }

  /** How many bars are of each part. */
  count() {
    const count = { batch: 0, both: 0, speed: 0 };
    for (const bar of this.bars) count[bar.part] += 1;
    return count;
  }

  _made(bar) {
    const below = this._batch.get(bar.start);
    const part = below === undefined ? "speed" : below.trades < bar.trades ? "both" : "batch";
    const delta = 2n * units(bar.buy_volume) - units(bar.volume);
    const correction = this._corrections.get(bar.start);
    return { ...bar, part, batchVolume: below?.volume ?? "0", batchTrades: below?.trades ?? 0, delta, correction };
  }

  _add(from) {
    let sum = this.bars[from - 1]?.cumulative ?? 0n;
    for (const bar of this.bars.slice(from)) {
      sum += bar.delta;
      bar.cumulative = sum;
    }
  }

  _place(start) {
    let [low, high] = [0, this.bars.length];
    if (high > 0 && start > this.bars[high - 1].start) return high;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.bars[middle].start < start) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}

/** Index of the newest bar with a batch part; -1 without one. */
export function seamIndex(bars) {
  return bars.findLastIndex((bar) => bar.part !== "speed");
}
