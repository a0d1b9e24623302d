// The page: what is asked (instrument and interval, kept in the address), two loops that ask, and the state they show.
//
//     follow   four times a second: the newest bars, and once for each version its batch part
//     survey   every two seconds: instruments, versions, readiness
//
// `document.body.dataset` says what is shown, for tests and styles: state (waiting, live, offline), venue, symbol,
// interval, version, bars, trades, batchBars, bothBars, speedBars, seam (start of the newest bar with a batch part),
// last, lag, complete, refused, answers (how many were shown).

import { Problem, Unreachable, barsPath, get } from "./api.js";
import { PriceChart } from "./chart.js";
import { digitsOf } from "./format.js";
import {
  byId,
  clearAnswer,
  say,
  showAnswer,
  showHealth,
  showLast,
  showMessage,
  showReadout,
  showVersions,
} from "./panel.js";
import { countParts, seamIndex, withParts } from "./seam.js";

const INTERVALS = ["1s", "5s", "1m", "5m", "15m", "1h", "1d"];
const LIMIT = 300;
const POLL_MS = 250;
const SLOWEST_POLL_MS = 4000;
const HIDDEN_POLL_MS = 10_000;
const SURVEY_MS = 2000;

const data = document.body.dataset;
const page = { asked: askedByAddress(), instruments: [], shown: null, hovered: null, batch: null, answers: 0 };
const chart = new PriceChart(byId("chart"), (bar) => {
  page.hovered = bar?.start ?? null;
  readOut();
});
let wake = () => {};
let abort = new AbortController();

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
  page.shown = page.hovered = page.batch = null;
  chart.clear();
  clearAnswer();
  showMessage("Loading");
  describe("waiting", "Loading");
  showControls();
  abort.abort(new DOMException("Another question is asked.", "AbortError"));
  abort = new AbortController();
  wake();
}

function showControls() {
  const { venue, symbol, interval } = page.asked;
  for (const radio of byId("intervals").querySelectorAll("input")) radio.checked = radio.value === interval;
  const select = byId("instrument");
  const asked = venue === null ? [] : [[venue, symbol]];
  const names = new Set([...page.instruments, ...asked].map((name) => name.join(" ")));
  if (names.size === 0) return;
  if (select.dataset.names !== [...names].join()) {
    select.dataset.names = [...names].join();
    select.replaceChildren(...[...names].map((name) => new Option(name.split(" ").reverse().join(" · "), name)));
    select.disabled = false;
  }
  select.value = `${venue} ${symbol}`;
}

function addControls() {
  for (const interval of INTERVALS) {
    const label = document.createElement("label");
    const radio = document.createElement("input");
    Object.assign(radio, { type: "radio", name: "interval", value: interval });
    radio.addEventListener("change", () => ask({ interval }));
    label.append(radio, interval);
    byId("intervals").append(label);
  }
  byId("instrument").addEventListener("change", (event) => {
    const [venue, symbol] = event.target.value.split(" ");
    ask({ venue, symbol });
  });
  window.addEventListener("hashchange", () => ask(askedByAddress()));
  document.addEventListener("visibilitychange", () => wake());
}

// ---------------------------------------------------------------- what is shown

function describe(state, text) {
  data.state = state;
  say("status", text);
  data.interval = page.asked.interval;
  data.venue = page.asked.venue ?? "";
  data.symbol = page.asked.symbol ?? "";
}

function show(answered, lag) {
  const { bars: merged, answer } = answered;
  const known = page.shown;
  page.answers += 1;
  data.answers = page.answers;
  if (known === null || known.answered !== answered || known.batch !== page.batch) {
    const below = answer.layer === "batch" ? merged : (page.batch?.bars ?? []);
    const bars = withParts(merged, below);
    page.shown = { answered, answer, bars, batch: page.batch, digits: digitsOf(bars.map((bar) => bar.close)) };
    chart.show(bars, answer.version, answer.layer !== "batch");
    showParts(bars);
    readOut();
  }
  const { bars } = page.shown;
  showAnswer(answer, lag, bars);
  data.lag = lag ?? "";
  if (bars.length === 0) {
    showMessage("No trades yet", "The bars appear with the first trade.");
    describe("waiting", "No trades yet");
    return;
  }
  showMessage(null);
  describe("live", answer.refusal ? "Live, with a refusal" : "Live");
}

function showParts(bars) {
  const count = countParts(bars);
  for (const part of ["batch", "both", "speed"]) {
    say(`${part}-bars`, String(count[part]));
    data[`${part}Bars`] = count[part];
  }
  const { answer, digits } = page.shown;
  data.version = answer.version;
  data.complete = answer.complete;
  data.refused = Boolean(answer.refusal);
  data.bars = bars.length;
  data.trades = bars.reduce((sum, bar) => sum + bar.trades, 0);
  data.seam = bars[seamIndex(bars)]?.start ?? "";
  data.last = bars.at(-1)?.close ?? "";
  if (bars.length === 0) return;
  showLast(bars, digits);
  const { symbol, interval } = page.asked;
  document.title = `${byId("last").textContent} ${symbol} · Slackwater`;
  const parts = `${count.batch} from batch, ${count.both} from both, ${count.speed} from speed`;
  byId("chart").setAttribute("aria-label", `${bars.length} bars of ${interval} of ${symbol}: ${parts}`);
}

function readOut() {
  if (!page.shown?.bars.length) return;
  const { bars, digits } = page.shown;
  const contracts = page.units?.get(`${page.asked.venue} ${page.asked.symbol}`) === "contracts";
  showReadout(bars.find((bar) => bar.start === page.hovered) ?? bars.at(-1), digits, contracts ? " contracts" : "");
}

function failed(error) {
  if (error instanceof Unreachable) {
    describe("offline", "Server unreachable, trying again");
    showHealth(null);
    if (page.shown === null) showMessage("Server unreachable", "This page keeps trying.");
  } else if (error instanceof Problem) {
    const missing = error.status === 404;
    describe("waiting", missing ? "No trades yet" : "Waiting for the service");
    if (page.shown === null) showMessage(missing ? "No trades yet" : "Not served", error.message);
    else if (!missing) byId("refusal").hidden = false;
    if (page.shown !== null) say("refusal", error.message);
  } else {
    console.error(error);
    describe("waiting", "This page failed on an answer");
  }
}

// ---------------------------------------------------------------- the loops

async function follow() {
  let pause = POLL_MS;
  for (;;) {
    try {
      if (page.asked.venue !== null) await poll();
      pause = POLL_MS;
    } catch (error) {
      if (error.name !== "AbortError") {
        failed(error);
        pause = Math.min(SLOWEST_POLL_MS, pause * 2);
      }
    }
    await rest(document.hidden ? HIDDEN_POLL_MS : pause);
  }
}

async function poll() {
  const { asked } = page;
  const { signal } = abort;
  const { data: merged, lag } = await get(barsPath(asked, LIMIT), { signal });
  const { version, layer } = merged.answer;
  if (layer !== "batch" && page.batch?.version !== version) {
    const { data: below } = await get(barsPath(asked, LIMIT, "batch"), { signal });
    if (below.answer.version !== version) return; // published in between: the next poll sees both
    page.batch = { version, bars: below.bars };
    survey(); // a new version: show it at once
  }
  if (asked === page.asked) show(merged, lag);
}

/** Wait; `wake` ends it early. */
function rest(ms) {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, ms);
    wake = () => {
      clearTimeout(timer);
      resolve();
    };
  });
}

async function survey() {
  if (page.surveying) return;
  page.surveying = true;
  const [health, versions, instruments] = await Promise.allSettled([
    get("health/ready", { also: 503 }),
    get("v1/versions"),
    get("v1/instruments"),
  ]);
  page.surveying = false;
  if (health.status === "fulfilled") showHealth(health.value.data, page.shown?.answer);
  if (versions.status === "fulfilled") showVersions(versions.value.data.versions, versions.value.data.served);
  if (instruments.status === "fulfilled") takeInstruments(instruments.value.data.instruments);
  else if (page.asked.venue === null) failed(instruments.reason); // else `follow` says what is wrong
}

function takeInstruments(instruments) {
  page.instruments = instruments.map(({ venue, symbol }) => [venue, symbol]);
  page.units = new Map(instruments.map((each) => [`${each.venue} ${each.symbol}`, each.quantity_unit]));
  if (page.asked.venue === null && instruments.length > 0) {
    ask({ venue: instruments[0].venue, symbol: instruments[0].symbol });
  } else if (page.asked.venue === null) {
    describe("waiting", "No trades yet");
    showMessage("No trades yet", "The bars appear with the first trade.");
  }
  showControls();
}

addControls();
showControls();
showMessage("Loading");
follow();
survey();
setInterval(() => document.hidden || survey(), SURVEY_MS);
