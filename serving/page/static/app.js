// The page: what is asked (instrument and interval, kept in the address), what is followed, and what is shown of it.
//
//     follow   the stream of bars, or polling where it is refused; once for each version its batch part
//     survey   every two seconds: readiness and layers; more seldom instruments, versions, restatements, figures
//     render   at most once a frame
//
// `document.body.dataset` says what is shown, for tests and styles: state (waiting, live, offline, locked), follows
// (stream, polling), venue, symbol, interval, version, bars, trades, batchBars, bothBars, speedBars, corrected, fault, quiet
// (no trade for an hour), seam (start of the newest bar with a batch part), first, last, lag, complete, refused, renders (how
// often was drawn).

import { Problem, Unreachable, barsPath, get, getText } from "./api.js";
import { PriceChart } from "./chart.js";
import { byId, say } from "./dom.js";
import { addKeyForm, showKeyForm } from "./key-form.js";
import { Figures } from "./figures.js";
import { Follower } from "./follow.js";
import { digitsOf, moment, timeOfDay } from "./format.js";
import { noteVersion, showHandoffs, showRestatements } from "./handoffs.js";
import { showBanner, showLayers } from "./layers.js";
import { clearMeta, showMeta, showFigures, showLast, showMessage, showReadout, spoken } from "./panel.js";
import { Picker } from "./picker.js";
import { Series, seamIndex } from "./series.js";
import { addShortcuts } from "./shortcuts.js";
import { addTheme, toggleTheme } from "./theme.js";

const INTERVALS_S = { "1s": 1, "5s": 5, "15s": 15, "1m": 60, "5m": 300, "15m": 900, "1h": 3600, "4h": 14400, "1d": 86400 };
const INTERVALS = Object.keys(INTERVALS_S);
const PUBLISHED = ["1h", "1m", "1s"]; // intervals that restatements are told for, the coarsest first
const LIMIT = 500;
const MOST_BARS = 10_000;
const SURVEY_MS = 2000;
const SELDOM = 4; // surveys between two looks at what changes seldom
const AGAIN_MS = { first: 250, most: 8000 };
const TOLD_VERSIONS = 6;
const QUIET_MS = 3_600_000; // an instrument without a trade for an hour is not called live

const data = document.body.dataset;
const page = { asked: askedByAddress(), instruments: new Map(), whole: true, health: null, away: null, surveys: 0, figures: new Figures() };
const chart = new PriceChart(byId("chart"), { onHover: hover, onOlder: loadOlder });
const picker = new Picker(ask, findInstruments);
const follower = new Follower({ handle, tell, limit: LIMIT });
begin();

// ---------------------------------------------------------------- what is asked

function askedByAddress() {
  const address = new URLSearchParams(location.hash.slice(1));
  const interval = INTERVALS.includes(address.get("interval")) ? address.get("interval") : "5s";
  return { venue: address.get("venue"), symbol: address.get("symbol"), interval };
}

function ask(change) {
  const asked = { ...page.asked, ...change };
  if (Object.keys(asked).every((name) => asked[name] === page.asked[name])) return;
  page.asked = asked;
  if (asked.venue !== null) history.replaceState(null, "", `#${new URLSearchParams(asked)}`);
  begin();
}

/** Show nothing of what was asked before, and follow what is asked now. */
function begin() {
  const { asked } = page;
  Object.assign(page, { series: new Series(), meta: null, batchVersion: null, lag: null, hovered: null });
  Object.assign(page, { exhausted: false, loadingOlder: null, restated: null, digits: 0, change: null });
  chart.clear(INTERVALS_S[asked.interval] < 60);
  clearMeta();
  showMessage("Loading");
  data.quiet = false;
  describe("waiting", "Loading");
  showControls();
  if (asked.venue !== null) follower.follow(asked);
}

function showControls() {
  const { venue, symbol, interval } = page.asked;
  for (const radio of byId("intervals").querySelectorAll("input")) radio.checked = radio.value === interval;
  picker.show([...page.instruments.values()], venue === null ? null : { venue, symbol }, page.whole);
}

// ---------------------------------------------------------------- what comes

function handle(name, found) {
  if (name === "snapshot") takeSnapshot(found);
  else if (name === "bars") takeBars(found);
  else if (name === "version") takeMeta(found);
  else if (name === "heartbeat") takeMeta({ applied: found.applied, complete: found.complete, reason: found.reason, version: found.version }, found.lag);
}

function takeSnapshot({ bars, meta, polled = false }) {
  const { series } = page;
  if (polled && bars === page.polled) return takeMeta(meta);
  page.polled = bars;
  if (polled) series.correct(new Map(series.changed(bars).map((bar) => [bar.start, "late trades"])));
  const older = series.bars.length > bars.length;
  series.replace(bars, polled || older);
  takeMeta(meta);
  if (older && !polled) loadAgain();
  draw(null);
}

function takeBars({ bars, meta }) {
  draw(page.series.put(bars, "late trades"));
  if (meta) takeMeta(meta);
}

function takeMeta(meta, lag = null) {
  page.meta = { ...page.meta, ...meta };
  if (lag !== null) page.lag = lag;
  draw({ first: page.series.bars.length, inserted: false });
  const known = page.meta.definition && page.series.bars.length > 0; // an unknown instrument has no batch part
  if (known && page.batchVersion !== page.meta.version) loadBatch();
}

/** The batch view's part of what is loaded: with it the seam moves. Asked until it is of the version that is served. */
async function loadBatch() {
  const { asked, series } = page;
  if (page.loadingBatch === series) return;
  page.loadingBatch = series;
  let pause = AGAIN_MS.first;
  while (page.series === series && page.batchVersion !== page.meta.version) {
    try {
      const limit = Math.min(MOST_BARS, Math.max(LIMIT, series.bars.length));
      const { data: below } = await get(barsPath(asked, limit, { layer: "batch" }));
      if (page.series !== series) break;
      if (below.meta.version === page.meta.version) {
        series.takeBatch(page.meta.layer === "batch" ? series.bars : below.bars);
        const before = page.batchVersion;
        page.batchVersion = below.meta.version;
        draw(null);
        if (before !== null) published(page.batchVersion);
        surveySeldom();
        break;
      }
    } catch (error) {
      if (!(error instanceof Problem || error instanceof Unreachable)) throw error; // `follow` says what is wrong
    }
    await new Promise((resolve) => setTimeout(resolve, pause));
    pause = Math.min(AGAIN_MS.most, 2 * pause);
  }
  if (page.loadingBatch === series) page.loadingBatch = null;
}

async function published(version) {
  const { data: found } = await get("v1/versions").catch(() => ({ data: { versions: [] } }));
  noteVersion(version, found.versions.find((each) => each.version === version)?.proof.records ?? null);
}

/** Bars before the oldest, for who scrolls back. */
async function loadOlder() {
  const { asked, series } = page;
  if (page.loadingOlder !== null || page.exhausted || page.batchVersion === null) return;
  if (series.bars.length === 0 || series.bars.length >= MOST_BARS) return;
  const end = series.bars[0].start;
  page.loadingOlder = end;
  try {
    const [merged, below] = await Promise.all([
      get(barsPath(asked, LIMIT, { end })),
      get(barsPath(asked, LIMIT, { end, layer: "batch" })),
    ]);
    if (page.series !== series || series.bars[0]?.start !== end) return;
    series.takeBatch(page.meta.layer === "batch" ? merged.data.bars : below.data.bars, true);
    series.prepend(merged.data.bars);
    page.exhausted = merged.data.bars.length < LIMIT;
    draw(null);
  } catch (error) {
    if (!(error instanceof Problem || error instanceof Unreachable)) throw error; // asked again at the next move
  } finally {
    if (page.loadingOlder === end) page.loadingOlder = null;
  }
}

/** After a stream that could not be resumed: what was scrolled back to may have changed meanwhile. */
async function loadAgain() {
  const { asked, series } = page;
  const limit = Math.min(MOST_BARS, series.bars.length);
  const found = await get(barsPath(asked, limit)).catch(() => null); // lost again: the next snapshot asks again
  if (found === null || page.series !== series) return;
  const newest = series.bars.slice(-LIMIT)[0]?.start ?? 0;
  const recent = series.bars.filter((bar) => bar.start >= newest);
  series.replace([...found.data.bars.filter((bar) => bar.start < newest), ...recent]);
  draw(null);
}

function tell(state, detail) {
  const answers = state === "live" || state === "polling";
  if (answers) page.away = null;
  showKeyForm(state === "locked");
  if (answers) data.follows = state === "live" ? "stream" : "polling";
  if (state === "live") describeBars("Live");
  else if (state === "polling") describeBars("Live by polling", `The stream is refused: ${detail}`);
  else if (state === "away") away();
  else if (state === "locked") describe("locked", "Key needed");
  else if (state === "refused") refused(detail);
}

function describeBars(text, title = "") {
  page.live = [text, title];
  draw({ first: page.series.bars.length, inserted: false });
}

function away() {
  page.away ??= Date.now() * 1000;
  page.health = null;
  describe("offline", "Server unreachable, trying again");
  showLayers(null);
  showBannerNow();
  if (page.series.bars.length === 0) showMessage("Server unreachable", "This page keeps trying.");
}

function refused(error) {
  if (!(error instanceof Problem)) console.error(error);
  const missing = error.status === 404;
  describe("waiting", missing ? "No trades yet" : "Waiting for the service");
  if (page.series.bars.length === 0) showMessage(missing ? "No trades yet" : "Not served", error.message);
}

// ---------------------------------------------------------------- what is shown

function describe(state, text, title = "") {
  data.state = state;
  say("status", text);
  byId("status").title = title;
  const { venue, symbol, interval } = page.asked;
  Object.assign(data, { interval, venue: venue ?? "", symbol: symbol ?? "" });
}

/** Draw at the next frame what changed: from the bar `first` on, or everything (null). */
function draw(change) {
  if (page.drawing) {
    const both = page.change !== null && change !== null;
    const first = both ? Math.min(page.change.first, change.first) : 0;
    page.change = both ? { first, inserted: page.change.inserted || change.inserted } : null;
    return;
  }
  page.drawing = true;
  page.change = change;
  requestAnimationFrame(() => {
    page.drawing = false;
    if (page.meta?.definition) render(page.change);
  });
}

function render(change) {
  const { meta, series, asked } = page;
  const { bars } = series;
  page.digits = digitsOf(bars.slice(-LIMIT).map((bar) => bar.close));
  const lag = page.health?.layers?.speed?.lag ?? page.lag;
  chart.show(bars, change, page.batchVersion, meta.layer !== "batch");
  showMeta(meta, lag, bars);
  showBannerNow();
  const count = series.count();
  for (const part of ["batch", "both", "speed"]) {
    say(`${part}-bars`, String(count[part]));
    data[`${part}Bars`] = count[part];
  }
  Object.assign(data, { version: meta.version, complete: meta.complete, refused: Boolean(meta.refusal) });
  Object.assign(data, { bars: bars.length, lag: lag ?? "", first: bars[0]?.start ?? "" });
  data.trades = bars.reduce((sum, bar) => sum + bar.trades, 0);
  data.corrected = bars.filter((bar) => bar.correction !== undefined).length;
  data.seam = bars[seamIndex(bars)]?.start ?? "";
  data.last = bars.at(-1)?.close ?? "";
  data.renders = Number(data.renders ?? 0) + 1;
  if (bars.length === 0) {
    showMessage("No trades yet", "The bars appear with the first trade.");
    describe("waiting", "No trades yet");
    return;
  }
  showMessage(null);
  if (page.away === null && page.live) {
    const [live, title] = page.live;
    const quiet = quietSince(bars.at(-1).start);
    const text = quiet === null ? live : `No trade since ${quiet}`;
    data.quiet = quiet !== null;
    describe("live", data.fault === "true" ? `${text}, with a fault` : text, title);
  }
  showLast(bars, page.digits);
  readOut();
  document.title = `${byId("last").textContent} ${asked.symbol} · Slackwater`;
  const parts = `${count.batch} from batch, ${count.both} from both, ${count.speed} from speed`;
  const label = `${bars.length} bars of ${asked.interval} of ${asked.symbol}: ${parts}. The arrow keys read them.`;
  byId("chart").setAttribute("aria-label", label);
}

/** Since when there has been no trade: a day, or today's time; null where the newest bar is not long ago. */
function quietSince(start, nowMs = Date.now()) {
  const end = start + INTERVALS_S[page.asked.interval] * 1e6;
  if (nowMs - end / 1000 < QUIET_MS) return null;
  return moment(end - 1).slice(0, 10) === moment(nowMs * 1000).slice(0, 10) ? timeOfDay(end) : moment(end - 1).slice(0, 10);
}

function showBannerNow() {
  data.fault = showBanner(page.health, { away: page.away, bars: page.series.bars, meta: page.meta });
}

function hover(bar, byKeys) {
  page.hovered = bar?.start ?? null;
  readOut();
  if (byKeys) say("spoken", spoken(bar, page.digits, unit()));
}

function readOut() {
  const { bars } = page.series;
  const bar = bars.find((each) => each.start === page.hovered) ?? bars.at(-1);
  if (bar !== undefined) showReadout(bar, page.digits, unit());
}

function unit() {
  const { venue, symbol } = page.asked;
  return page.instruments.get(`${venue} ${symbol}`)?.unit === "contracts" ? " contracts" : "";
}

// ---------------------------------------------------------------- the survey

async function survey() {
  const waits = page.away !== null && page.asked.venue !== null; // `follow` tries the server, one is enough
  if (page.surveying || waits) return;
  page.surveying = true;
  const seldom = page.surveys++ % SELDOM === 0 || page.asked.venue === null;
  await Promise.all([lookAtHealth(), ...(seldom ? [surveySeldom(), lookAtFigures()] : [])]);
  page.surveying = false;
}

async function lookAtHealth() {
  const found = await get("health/ready", { also: 503 }).catch((error) => error);
  if (found instanceof Error) {
    if (page.asked.venue === null) tell(...failure(found));
    return;
  }
  page.health = found.data;
  showLayers(page.health);
  const speed = page.health.layers?.speed;
  if (speed?.applied !== undefined) page.figures.sawApplied(speed.applied);
  if (page.published) showHandoffs(page.published.versions, page.published.served);
  showFigures(page.figures.rate, page.figures.quantile(0.5), page.figures.quantile(0.99));
  draw({ first: page.series.bars.length, inserted: false });
}

async function lookAtFigures() {
  const text = await getText("metrics").catch(() => null);
  if (text !== null) page.figures.sawMetrics(text);
}

async function surveySeldom() {
  const [versions, instruments] = await Promise.allSettled([get("v1/versions"), lookAtInstruments(), lookAtRestated()]);
  if (versions.status === "fulfilled") page.published = versions.value.data;
  if (page.published) showHandoffs(page.published.versions, page.published.served);
  if (instruments.status === "fulfilled") takeInstruments(instruments.value);
  else if (page.asked.venue === null) tell(...failure(instruments.reason)); // else `follow` says what is wrong
}

/** Restatements of what is shown, by the last versions: of the coarsest interval that is told and divides the bars'. */
async function lookAtRestated() {
  const { asked, series, batchVersion } = page;
  if (!batchVersion || page.restated === batchVersion) return;
  const step = INTERVALS_S[asked.interval];
  const interval = PUBLISHED.find((each) => step % INTERVALS_S[each] === 0);
  const since = Math.max(0, batchVersion - TOLD_VERSIONS);
  const query = new URLSearchParams({ ...asked, interval, since, view: "bars", limit: 5000 });
  const found = await get(`v1/restatements?${query}`);
  if (page.series !== series) return;
  page.restated = batchVersion;
  const rows = found.data.restatements;
  showRestatements(rows);
  series.correct(new Map(rows.map((row) => [row.start - (row.start % (step * 1e6)), `by v${row.version}`])));
  draw(null);
}

/** The first page of instruments, and the one that is shown; the others are found by typing (`findInstruments`). */
async function lookAtInstruments() {
  const { instruments, next } = (await get("v1/instruments?stream=trades")).data;
  page.whole = next === null;
  const { venue, symbol } = page.asked;
  if (page.whole || venue === null || instruments.some((each) => each.venue === venue && each.symbol === symbol)) {
    return instruments;
  }
  const shown = await get(`v1/instruments?${new URLSearchParams({ stream: "trades", venue, symbol })}`);
  return [...instruments, ...shown.data.instruments];
}

/** The first `count` instruments with these words in their names, wherever they stand in the list. */
async function findInstruments(words, count) {
  const { data } = await get(`v1/instruments?${new URLSearchParams({ stream: "trades", q: words.slice(0, 100), limit: count })}`);
  const found = named(data.instruments);
  for (const [name, each] of found) page.instruments.set(name, each);
  return [...found.values()];
}

function named(instruments) {
  return new Map(
    instruments.map(({ venue, symbol, quantity_unit: unit }) => [`${venue} ${symbol}`, { venue, symbol, unit }]),
  );
}

function takeInstruments(instruments) {
  page.instruments = named(instruments);
  if (page.asked.venue === null && instruments.length > 0) {
    const first = instruments.find((each) => each.quantity_unit === "base") ?? instruments[0];
    ask({ venue: first.venue, symbol: first.symbol });
  } else if (page.asked.venue === null) {
    tell("refused", new Problem(404, "The bars appear with the first trade."));
  }
  showControls();
}

function failure(error) {
  if (error instanceof Problem) return [error.status === 401 ? "locked" : "refused", error];
  return error instanceof Unreachable ? ["away"] : ["refused", error];
}

// ---------------------------------------------------------------- controls

function addControls() {
  INTERVALS.forEach((interval, index) => {
    const label = document.createElement("label");
    const radio = document.createElement("input");
    Object.assign(radio, { type: "radio", name: "interval", value: interval });
    radio.addEventListener("change", () => ask({ interval }));
    label.append(radio, interval);
    label.title = `Key ${index + 1}`;
    byId("intervals").append(label);
  });
  window.addEventListener("hashchange", () => askedByAddress().venue !== null && ask(askedByAddress()));
  document.addEventListener("visibilitychange", () => follower.retry());
  window.addEventListener("online", () => follower.retry());
  addTheme();
  addKeyForm(() => {
    follower.retry();
    survey();
  });
  const intervals = INTERVALS.map((interval, index) => [index + 1, () => ask({ interval })]);
  addShortcuts({
    ...Object.fromEntries(intervals),
    "/": () => picker.focus(),
    t: toggleTheme,
    c: () => byId("chart").focus(),
    n: () => chart.toNow(),
  });
}

addControls();
showControls();
survey();
setInterval(() => document.hidden || survey(), SURVEY_MS);
