// Two figures that nobody tells directly: records applied a second, and how long an event takes to be seen.
//
//     rate       how far `applied` moved over the last ten seconds
//     latency    quantiles of the growth of a Prometheus histogram over the last minute

const RATE_MS = 10_000;
const SURE_MS = 3000; // what is seen for less tells no rate
const LATENCY_MS = 60_000;
const HISTOGRAM = "slackwater_end_to_end_latency_seconds";

/** The last samples of something that only grows. One that went back begins anew. */
class Window {
  constructor(ms) {
    this._ms = ms;
    this.samples = [];
  }

  add(value, grows, nowMs = performance.now()) {
    if (this.samples.length > 0 && !grows(this.samples.at(-1).value, value)) this.samples = [];
    this.samples.push({ value, nowMs });
    while (this.samples.length > 2 && nowMs - this.samples[1].nowMs >= this._ms) this.samples.shift();
  }

  get ends() {
    return [this.samples[0], this.samples.at(-1)];
  }
}

export class Figures {
  constructor() {
    this._applied = new Window(RATE_MS);
    this._buckets = new Window(LATENCY_MS);
  }

  /** Records that the speed layer applied in all. */
  sawApplied(records) {
    this._applied.add(records, (before, now) => now >= before);
  }

  /** The text of /metrics. */
  sawMetrics(text) {
    const found = [...text.matchAll(new RegExp(`^${HISTOGRAM}_bucket\\{le="([^"]+)"\\} (\\S+)$`, "gm"))];
    const buckets = found.map(([, bound, count]) => [bound === "+Inf" ? Infinity : Number(bound), Number(count)]);
    const total = (of) => of.at(-1)?.[1] ?? 0;
    this._buckets.add(buckets, (before, now) => before.length === now.length && total(now) >= total(before));
  }

  /** Records a second; null before there are two samples. */
  get rate() {
    const [first, last] = this._applied.ends;
    if (first === undefined || last.nowMs - first.nowMs < SURE_MS) return null;
    return (1000 * (last.value - first.value)) / (last.nowMs - first.nowMs);
  }

  /** The latency in seconds that a share of the events did not exceed; null without events. */
  quantile(share) {
    const [first, last] = this._buckets.ends;
    if (first === undefined) return null;
    const since = first === last ? new Map() : new Map(first.value);
    const grown = last.value.map(([bound, count]) => [bound, count - (since.get(bound) ?? 0)]);
    const wanted = share * (grown.at(-1)?.[1] ?? 0);
    if (wanted === 0) return null;
    const at = grown.findIndex(([, count]) => count >= wanted);
    const [low, below] = at === 0 ? [0, 0] : grown[at - 1];
    const [high, upto] = grown[at];
    return high === Infinity ? low : low + ((high - low) * (wanted - below)) / (upto - below);
  }
}
