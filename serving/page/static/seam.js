// The waterline between batch and speed, drawn behind the candles and the order flow as a primitive of each pane.
//
// Right of the seam lies open water (speed), left of it dry ground (batch). The seam runs through the middle of a bar
// that has both parts. When a version is published the seam moves on, and is seen to move, where the reader's system
// does not ask for less motion. What a bar's part is, `series.js` says.

import { seamIndex } from "./series.js";

const MOVES_FOR_MS = 900;
const LABEL_PX = 11;

export class Seam {
  constructor() {
    this.bars = [];
    this.colours = {};
    this.version = null;
    this._flows = true;
    this._offset = 0; // what is left of a move, in bars
    this._redraws = [];
  }

  /** What is attached to a pane; one pane has the `labels`. */
  primitive(labels) {
    const view = { zOrder: () => "bottom", renderer: () => ({ draw: (target) => this._draw(target, labels) }) };
    const views = [view];
    return {
      attached: ({ chart, requestUpdate }) => {
        this._scale = chart.timeScale();
        this._redraws.push(requestUpdate);
      },
      paneViews: () => views,
    };
  }

  /**
   * Take new bars. With another version the seam moves from where it stood to where it stands now. Where the speed
   * layer has no part in the answer, nothing flows and there is no seam.
   */
  update(bars, version, flows) {
    const before = this._start();
    const published = this.version !== null && version !== this.version;
    this.bars = bars;
    this.version = version;
    this._flows = flows;
    const from = published && before !== null ? bars.findIndex((bar) => bar.start >= before.start) : -1;
    if (from >= 0) this._move(from + before.within - this._at());
    else if (!published && this._offset === 0) this._redraw();
  }

  /** Forget where the seam stood: another instrument or interval is shown. */
  reset() {
    this.version = null;
    this._offset = 0;
  }

  /** Where the seam stands, in bars: 3.5 is between the fourth and the fifth bar. */
  _at() {
    const index = seamIndex(this.bars);
    return index < 0 ? -0.5 : index + (this.bars[index].part === "both" ? 0 : 0.5);
  }

  _start() {
    const index = seamIndex(this.bars);
    return index < 0 ? null : { start: this.bars[index].start, within: this.bars[index].part === "both" ? 0 : 0.5 };
  }

  _move(offset) {
    if (matchMedia("(prefers-reduced-motion: reduce)").matches || offset === 0) {
      this._redraw();
      return;
    }
    const began = performance.now();
    const step = (now) => {
      const done = Math.min(1, Math.max(0, (now - began) / MOVES_FOR_MS));
      this._offset = done === 1 ? 0 : offset * (1 - done) ** 3;
      this._redraw();
      if (done < 1) this._frame = requestAnimationFrame(step);
    };
    cancelAnimationFrame(this._frame);
    this._offset = offset;
    this._frame = requestAnimationFrame(step);
  }

  _redraw() {
    for (const redraw of this._redraws) redraw();
  }

  _x(place) {
    const index = Math.floor(place);
    const left = this._scale.logicalToCoordinate(index);
    return left === null ? null : left + (place - index) * this._scale.options().barSpacing;
  }

  _draw(target, labels) {
    if (this.bars.length === 0) return;
    target.useMediaCoordinateSpace(({ context, mediaSize: { width, height } }) => {
      const seam = this._flows ? this._x(this._at() + this._offset) : width + 100;
      if (seam === null) return;
      const x = Math.max(-20, Math.min(width + 20, seam));
      context.save();
      this._drawWater(context, x, width, height);
      this._drawTouched(context, seam, height);
      this._drawWaterline(context, x, width, height);
      if (labels) this._drawLabels(context, seam, width);
      context.restore();
    });
  }

  _drawWater(context, x, width, height) {
    const water = context.createLinearGradient(0, 0, 0, height);
    water.addColorStop(0, this.colours.waterTop);
    water.addColorStop(1, this.colours.waterDeep);
    context.fillStyle = water;
    context.beginPath();
    wave(context, x, height);
    context.lineTo(width + 20, height);
    context.lineTo(width + 20, 0);
    context.fill();
    context.strokeStyle = this.colours.speed;
    context.lineWidth = 1.5;
    context.beginPath();
    wave(context, x, height);
    context.stroke();
  }

  /** Bars left of the seam that late trades came to. */
  _drawTouched(context, seam, height) {
    const spacing = this._scale.options().barSpacing;
    context.fillStyle = this.colours.waterDeep;
    const visible = this._scale.getVisibleLogicalRange();
    if (visible === null) return;
    const last = Math.min(this.bars.length - 1, Math.ceil(visible.to));
    for (let index = Math.max(0, Math.floor(visible.from)); index <= last; index += 1) {
      const x = this.bars[index].part === "batch" ? null : this._scale.logicalToCoordinate(index);
      if (x !== null && x + spacing / 2 < seam) context.fillRect(x - spacing / 2, 0, spacing, height);
    }
  }

  _drawWaterline(context, x, width, height) {
    context.fillStyle = this.colours.batch;
    context.fillRect(0, height - 3, x, 3);
    context.fillStyle = this.colours.speed;
    context.fillRect(x, height - 3, width - x, 3);
  }

  _drawLabels(context, seam, width) {
    context.font = `600 ${LABEL_PX}px ${this.colours.font}`;
    context.textBaseline = "top";
    if (seam > 70 && seam <= width + 4) {
      context.fillStyle = this.colours.batchText;
      context.textAlign = "right";
      context.fillText(this.version ? `batch v${this.version}` : "batch", Math.min(seam, width) - 10, 10);
    }
    if (seam < width - 56) {
      context.fillStyle = this.colours.speedText;
      context.textAlign = "left";
      context.fillText("speed", Math.max(seam, 0) + 10, 10);
    }
  }
}

/** A standing wave from the top to the bottom of the pane, around x. */
function wave(context, x, height) {
  context.moveTo(x, 0);
  for (let y = 0; y <= height; y += 3) context.lineTo(x + 2.2 * Math.sin(y / 9), y);
  context.lineTo(x, height);
}
