// The chart: candles and volume of one instrument, with the seam behind them. What a bar's part is, `seam.js` says.
//
//     batch   filled candle
//     both    half-filled candle; its volume is two-coloured, the batch part below
//     speed   hollow candle

import { CandlestickSeries, CrosshairMode, HistogramSeries, createChart } from "./vendor/lightweight-charts.js";
import { digitsOf } from "./format.js";
import { Seam } from "./seam.js";

const BAR_PX = { wide: 9, narrow: 6, widest: 22 };
const RIGHT_BARS = 7;
const NARROW_PX = 520;
const MOST_DIGITS = 8;

export class PriceChart {
  /** `onHover` gets the bar under the pointer, or null. */
  constructor(element, onHover) {
    this._element = element;
    this._bars = [];
    this._digits = null;
    this._chart = createChart(element, {
      autoSize: true,
      layout: { attributionLogo: false, fontSize: 11 }, // the page's foot names TradingView and links to it
      rightPriceScale: { borderVisible: false, scaleMargins: { top: 0.09, bottom: 0.26 } },
      timeScale: { borderVisible: false, timeVisible: true, secondsVisible: true, rightOffset: RIGHT_BARS },
      crosshair: { mode: CrosshairMode.Normal },
      handleScroll: { vertTouchDrag: false },
    });
    const volume = { priceScaleId: "volume", priceLineVisible: false, lastValueVisible: false };
    this._volume = this._chart.addSeries(HistogramSeries, volume);
    this._batchVolume = this._chart.addSeries(HistogramSeries, volume);
    this._candles = this._chart.addSeries(CandlestickSeries, { priceLineStyle: 3 });
    this._chart.priceScale("volume").applyOptions({ scaleMargins: { top: 0.82, bottom: 0.012 } });
    this._seam = new Seam();
    this._chart.panes()[0].attachPrimitive(this._seam);
    this._chart.subscribeCrosshairMove(({ time }) => {
      onHover(time === undefined ? null : (this._bars.find((bar) => bar.start === time * 1e6) ?? null));
    });
    element.addEventListener("keydown", (event) => this._key(event));
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this._paint());
    this._paint();
  }

  /**
   * Show bars, as `withParts` gives them, of a version; `flows` says whether the speed layer has a part in them. Only
   * what changed is drawn again where that is enough.
   */
  show(bars, version, flows = true) {
    const before = this._bars;
    this._bars = bars;
    this._setDigits(bars);
    const grows = before.length > 0 && bars[0]?.start === before[0].start;
    // A late trade may make a bar between others: then all later ones move, which `update` cannot draw.
    if (grows && bars[before.length - 1]?.start === before.at(-1).start) {
      bars.forEach((bar, index) => {
        if (!same(bar, before[index])) this._put(bar, index < before.length - 1);
      });
    } else {
      this._putAll();
      if (before.length === 0 && bars.length > 0) this._fit(bars.length);
    }
    this._markLast();
    this._seam.update(bars, version, flows);
  }

  /** Show nothing, and forget where the reader had scrolled to. */
  clear() {
    this._seam.reset();
    this._digits = null;
    this.show([], null);
  }

  /** Bars of a usual width with the newest on the right; wider ones where few would leave the chart empty. */
  _fit(count) {
    const filling = this._chart.timeScale().width() / (count + RIGHT_BARS);
    const barSpacing = Math.max(this._barPx(), Math.min(BAR_PX.widest, filling));
    this._chart.timeScale().applyOptions({ barSpacing });
    this._chart.timeScale().resetTimeScale();
  }

  _barPx() {
    return this._element.clientWidth < NARROW_PX ? BAR_PX.narrow : BAR_PX.wide;
  }

  _put(bar, historical) {
    const data = this._data(bar);
    this._candles.update(data.candle, historical);
    this._volume.update(data.volume, historical);
    this._batchVolume.update(data.batchVolume, historical);
  }

  _putAll() {
    const data = this._bars.map((bar) => this._data(bar));
    const scale = this._chart.timeScale();
    // Old bars drop out on the left as new ones come: who looks at the past keeps seeing the same bars.
    const looking = scale.scrollPosition() < -1 && this._bars.length > 0 ? scale.getVisibleRange() : null;
    this._candles.setData(data.map((each) => each.candle));
    this._volume.setData(data.map((each) => each.volume));
    this._batchVolume.setData(data.map((each) => each.batchVolume));
    if (looking !== null && looking.from * 1e6 >= this._bars[0].start) scale.setVisibleRange(looking);
  }

  /** The label of the last price; a hollow candle's own colour is the ground's. */
  _markLast() {
    const last = this._bars.at(-1);
    if (last === undefined) return;
    this._candles.applyOptions({ priceLineColor: rises(last) ? this.colours.up : this.colours.down });
  }

  _data(bar) {
    const { colours } = this;
    const time = bar.start / 1e6;
    const line = rises(bar) ? colours.up : colours.down;
    const half = rises(bar) ? colours.upHalf : colours.downHalf;
    const color = { batch: line, both: half, speed: colours.surface }[bar.part];
    const prices = { open: Number(bar.open), high: Number(bar.high), low: Number(bar.low), close: Number(bar.close) };
    return {
      candle: { time, ...prices, color, wickColor: line, borderColor: line },
      volume: { time, value: Number(bar.volume), color: colours.speedVolume },
      batchVolume: { time, value: Number(bar.batchVolume), color: colours.batchVolume },
    };
  }

  _setDigits(bars) {
    const digits = Math.min(MOST_DIGITS, digitsOf(bars.flatMap((bar) => [bar.open, bar.close])));
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
    this.colours = {
      up: colour("up"),
      down: colour("down"),
      upHalf: colour("up-half"),
      downHalf: colour("down-half"),
      surface: colour("surface"),
      batchVolume: colour("batch-volume"),
      speedVolume: colour("speed-volume"),
    };
    const font = style.fontFamily;
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
    this._chart.applyOptions({
      layout: { background: { color: "transparent" }, textColor: colour("muted"), fontFamily: font },
      grid: { vertLines: grid, horzLines: grid },
      crosshair: { vertLine: crosshair, horzLine: crosshair },
    });
    this._putAll();
    this._markLast();
  }

  /** The arrows move, plus and minus zoom, End returns to now. */
  _key(event) {
    const scale = this._chart.timeScale();
    const spacing = scale.options().barSpacing;
    const does = {
      ArrowLeft: () => scale.scrollToPosition(scale.scrollPosition() - 5, false),
      ArrowRight: () => scale.scrollToPosition(scale.scrollPosition() + 5, false),
      "+": () => scale.applyOptions({ barSpacing: spacing * 1.25 }),
      "-": () => scale.applyOptions({ barSpacing: spacing / 1.25 }),
      End: () => scale.scrollToRealTime(),
    }[event.key];
    if (does === undefined || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    does();
  }
}

function rises(bar) {
  return Number(bar.close) >= Number(bar.open);
}

function same(bar, other) {
  return (
    other !== undefined &&
    bar.start === other.start &&
    bar.trades === other.trades &&
    bar.part === other.part &&
    bar.batchTrades === other.batchTrades
  );
}
