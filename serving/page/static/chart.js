// The chart: candles with volume, and below them the order flow, of one instrument, with the seam behind both.
//
//     batch   filled candle
//     both    half-filled candle; its volume is two-coloured, the batch part below
//     speed   hollow candle
//     flow    bought less sold of each bar as a histogram, their sum as a line
//     dot     a bar that changed after it was closed

import {
  CandlestickSeries,
  CrosshairMode,
  HistogramSeries,
  LineSeries,
  createChart,
  createSeriesMarkers,
} from "./vendor/lightweight-charts.js";
import { digitsOf, short } from "./format.js";
import { Seam } from "./seam.js";

const BAR_PX = { wide: 9, narrow: 6, widest: 22 };
const RIGHT_BARS = 7;
const NARROW_PX = 520;
const MOST_DIGITS = 8;
const OLDER_WITHIN = 30; // bars left of the picture when older ones are asked for
const MOST_UPDATES = 40; // changed bars that are drawn one by one
const FLOW_SHARE = [3, 1]; // candles to flow

export class PriceChart {
  /** `onHover` gets the bar under the pointer or the keys, or null; `onOlder` asks for bars before the oldest. */
  constructor(element, { onHover, onOlder }) {
    this._element = element;
    this._bars = [];
    this._digits = null;
    this._cursor = null;
    this._onHover = onHover;
    this._chart = createChart(element, {
      autoSize: true,
      layout: { attributionLogo: false, fontSize: 11 }, // the page's foot names TradingView and links to it
      rightPriceScale: { borderVisible: false, entireTextOnly: true, scaleMargins: { top: 0.09, bottom: 0.24 } },
      timeScale: { borderVisible: false, timeVisible: true, rightOffset: RIGHT_BARS, minBarSpacing: 1.5 },
      crosshair: { mode: CrosshairMode.Normal },
      handleScroll: { vertTouchDrag: false },
    });
    this._addSeries();
    this._seam = new Seam();
    this._chart.panes().forEach((pane, index) => {
      pane.setStretchFactor(FLOW_SHARE[index]);
      pane.attachPrimitive(this._seam.primitive(index === 0));
    });
    this._chart.subscribeCrosshairMove(({ time, sourceEvent }) => {
      if (sourceEvent) this._cursor = null;
      onHover(time === undefined ? null : this._at(time * 1e6), false);
    });
    this._chart.timeScale().subscribeVisibleLogicalRangeChange((range) => {
      if (range !== null && range.from < OLDER_WITHIN && this._bars.length > 0) onOlder();
    });
    element.addEventListener("keydown", (event) => this._key(event));
    element.addEventListener("blur", () => this._moveCursor(null));
    new MutationObserver(() => this._paint()).observe(document.documentElement, { attributeFilter: ["data-theme"] });
    this._paint();
  }

  /**
   * Show bars, as `Series` has them, of a version; `flows` says whether the speed layer has a part in them. `change`
   * says that only the bars from `first` on are others; null that anything may be.
   */
  show(bars, change, version, flows = true) {
    const empty = this._bars.length === 0;
    this._bars = bars;
    this._setDigits(bars);
    if (change !== null && !change.inserted && !empty && bars.length - change.first <= MOST_UPDATES) {
      const known = this._candles.data().length;
      for (let index = change.first; index < bars.length; index += 1) this._put(bars[index], index < known - 1);
    } else {
      this._putAll();
      if (empty && bars.length > 0) this._fit(bars.length);
    }
    this._markCorrections();
    this._markLast();
    this._seam.update(bars, version, flows);
  }

  /** Show nothing, and forget where the reader had scrolled to; `seconds` says whether the axis has them. */
  clear(seconds) {
    this._seam.reset();
    this._digits = null;
    this._cursor = null;
    this._chart.applyOptions({ timeScale: { secondsVisible: seconds } });
    this.show([], null, null);
  }

  /** Return to the newest bar. */
  toNow() {
    this._chart.timeScale().scrollToRealTime();
  }

  _addSeries() {
    const plain = { priceLineVisible: false, lastValueVisible: false };
    const volume = { ...plain, priceScaleId: "volume" };
    this._volume = this._chart.addSeries(HistogramSeries, volume);
    this._batchVolume = this._chart.addSeries(HistogramSeries, volume);
    this._candles = this._chart.addSeries(CandlestickSeries, { priceLineStyle: 3 });
    this._markers = createSeriesMarkers(this._candles, []);
    this._chart.priceScale("volume").applyOptions({ scaleMargins: { top: 0.82, bottom: 0.012 } });
    const priceFormat = { type: "custom", minMove: 1e-8, formatter: (value) => short(String(value), 4) };
    this._delta = this._chart.addSeries(HistogramSeries, { ...plain, priceFormat }, 1);
    this._cumulative = this._chart.addSeries(
      LineSeries,
      { ...plain, priceScaleId: "cumulative", lineWidth: 2, crosshairMarkerVisible: false, priceFormat },
      1,
    );
    const scaleMargins = { top: 0.12, bottom: 0.12 };
    for (const series of [this._delta, this._cumulative]) series.priceScale().applyOptions({ scaleMargins });
  }

  /** Bars of a usual width with the newest on the right; wider ones where few would leave the chart empty. */
  _fit(count) {
    const filling = this._chart.timeScale().width() / (count + RIGHT_BARS);
    const usual = this._element.clientWidth < NARROW_PX ? BAR_PX.narrow : BAR_PX.wide;
    this._chart.timeScale().applyOptions({ barSpacing: Math.max(usual, Math.min(BAR_PX.widest, filling)) });
    this._chart.timeScale().resetTimeScale();
  }

  _put(bar, historical) {
    for (const [series, point] of this._points(bar)) series.update(point, historical);
  }

  _putAll() {
    const columns = new Map(this._series().map((series) => [series, []]));
    for (const bar of this._bars) for (const [series, point] of this._points(bar)) columns.get(series).push(point);
    for (const [series, points] of columns) series.setData(points);
  }

  _series() {
    return [this._candles, this._volume, this._batchVolume, this._delta, this._cumulative];
  }

  _points(bar) {
    const { colours } = this;
    const time = bar.start / 1e6;
    const line = rises(bar) ? colours.up : colours.down;
    const half = rises(bar) ? colours.upHalf : colours.downHalf;
    const color = { batch: line, both: half, speed: colours.surface }[bar.part];
    const prices = { open: Number(bar.open), high: Number(bar.high), low: Number(bar.low), close: Number(bar.close) };
    return [
      [this._candles, { time, ...prices, color, wickColor: line, borderColor: line }],
      [this._volume, { time, value: Number(bar.volume), color: colours.speedVolume }],
      [this._batchVolume, { time, value: Number(bar.batchVolume), color: colours.batchVolume }],
      [this._delta, { time, value: Number(bar.delta) / 1e8, color: bar.delta < 0n ? colours.sold : colours.bought }],
      [this._cumulative, { time, value: Number(bar.cumulative) / 1e8 }],
    ];
  }

  _markCorrections() {
    const corrected = this._bars.filter((bar) => bar.correction !== undefined);
    const shown = JSON.stringify([this.colours.mark, ...corrected.map((bar) => bar.start)]);
    if (shown === this._marked) return;
    this._marked = shown;
    const mark = { position: "aboveBar", shape: "circle", size: 0.5, color: this.colours.mark };
    this._markers.setMarkers(corrected.map((bar) => ({ ...mark, time: bar.start / 1e6 })));
  }

  /** The label of the last price; a hollow candle's own colour is the ground's. */
  _markLast() {
    const last = this._bars.at(-1);
    if (last === undefined) return;
    this._candles.applyOptions({ priceLineColor: rises(last) ? this.colours.up : this.colours.down });
  }

  _setDigits(bars) {
    const digits = Math.min(MOST_DIGITS, digitsOf(bars.slice(-500).flatMap((bar) => [bar.open, bar.close])));
    if (bars.length === 0 || (this._digits !== null && digits <= this._digits)) return;
    this._digits = digits;
    const format = new Intl.NumberFormat("en", { minimumFractionDigits: digits, maximumFractionDigits: digits });
    this._candles.applyOptions({
      priceFormat: { type: "custom", minMove: 10 ** -digits, formatter: (price) => format.format(price) },
    });
  }

  /** Take the colours of the page's style, dark or light. */
  _paint() {
    const style = getComputedStyle(this._element);
    const colour = (name) => style.getPropertyValue(`--${name}`).trim();
    const font = style.fontFamily;
    this.colours = {
      up: colour("up"),
      down: colour("down"),
      upHalf: colour("up-half"),
      downHalf: colour("down-half"),
      surface: colour("surface"),
      batchVolume: colour("batch-volume"),
      speedVolume: colour("speed-volume"),
      bought: colour("bought"),
      sold: colour("sold"),
      mark: colour("fair"),
    };
    this._seam.colours = {
      font,
      batch: colour("batch"),
      speed: colour("speed"),
      batchText: colour("batch-text"),
      speedText: colour("speed-text"),
      waterTop: colour("water-top"),
      waterDeep: colour("water-deep"),
    };
    const grid = { color: colour("grid") };
    const crosshair = { color: colour("muted"), labelBackgroundColor: colour("label") };
    const panes = { separatorColor: colour("line"), separatorHoverColor: colour("label") };
    this._chart.applyOptions({
      layout: { background: { color: "transparent" }, textColor: colour("muted"), fontFamily: font, panes },
      grid: { vertLines: grid, horzLines: grid },
      crosshair: { vertLine: crosshair, horzLine: crosshair },
    });
    this._cumulative.applyOptions({ color: colour("flow") });
    this._putAll();
    this._markCorrections();
    this._markLast();
  }

  _at(start) {
    return this._bars.find((bar) => bar.start === start) ?? null;
  }

  /** The arrows read bar by bar, with Shift they move the picture; plus and minus zoom, Home and End go to the ends. */
  _key(event) {
    const scale = this._chart.timeScale();
    const spacing = scale.options().barSpacing;
    const move = (bars) => scale.scrollToPosition(scale.scrollPosition() + bars, false);
    const from = this._bars.findIndex((bar) => bar.start === this._cursor);
    const read = (bars) => this._moveCursor(from < 0 ? this._bars.length - 1 : from + bars);
    const does = {
      ArrowLeft: () => (event.shiftKey ? move(-10) : read(-1)),
      ArrowRight: () => (event.shiftKey ? move(10) : read(1)),
      PageUp: () => move(-50),
      PageDown: () => move(50),
      "+": () => scale.applyOptions({ barSpacing: spacing * 1.25 }),
      "-": () => scale.applyOptions({ barSpacing: spacing / 1.25 }),
      Home: () => scale.scrollToPosition(-this._bars.length, false),
      End: () => (this._moveCursor(null), this.toNow()),
      Escape: () => this._moveCursor(null),
    }[event.key];
    if (does === undefined || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    event.stopPropagation();
    does();
  }

  _moveCursor(index) {
    if (index === null) {
      if (this._cursor === null) return;
      this._cursor = null;
      this._chart.clearCrosshairPosition();
      this._onHover(null, false);
      return;
    }
    const at = Math.max(0, Math.min(this._bars.length - 1, index));
    const bar = this._bars[at];
    if (bar === undefined) return;
    this._cursor = bar.start;
    const scale = this._chart.timeScale();
    const { from, to } = scale.getVisibleLogicalRange();
    const beyond = Math.min(0, at - from - 2) + Math.max(0, at - to + 2);
    if (beyond !== 0) scale.scrollToPosition(scale.scrollPosition() + beyond, false);
    this._chart.setCrosshairPosition(Number(bar.close), bar.start / 1e6, this._candles);
    this._onHover(bar, true);
  }
}

function rises(bar) {
  return Number(bar.close) >= Number(bar.open);
}
