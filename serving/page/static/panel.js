// The panel's own facts: what an answer says of itself, its figures, and one bar in words.
//
// Every function takes plain data and writes text into the page; none asks the service for anything.

import { byId, element, fill, say } from "./dom.js";
import { age, decimal, latency, moment, short, signed, whole } from "./format.js";

const NO_ANSWER = ["version", "lag", "complete", "bars", "trades", "definition", "last"];

/** The answer's own facts, and what its bars add up to. */
export function showMeta(meta, lag, bars) {
  say("version", `v${meta.version}`);
  say("complete", meta.complete ? "yes" : "no");
  byId("complete").className = meta.complete ? "" : "fair";
  byId("complete").title = meta.reason ?? "";
  say("bars", whole(bars.length));
  say("trades", whole(bars.reduce((sum, bar) => sum + bar.trades, 0)));
  say("definition", meta.definition.slice(0, 12));
  byId("definition").title = meta.definition;
  say("lag", lag === null ? "–" : whole(lag));
  const positions = Object.entries(meta.applied).map(([partition, to]) => [
    partition,
    meta.cut[partition] ?? 0,
    to,
  ]);
  fill("partitions", positions, () =>
    positions.map(([partition, from, to]) =>
      row([[partition], [whole(from)], [whole(to)], [whole(to - from), "speed"]]),
    ),
  );
}

/** No meta is shown: what stood in the panel is not true any more. */
export function clearMeta() {
  for (const id of NO_ANSWER) say(id, "–");
  for (const id of ["change", "readout"]) say(id, "");
  fill("partitions", null, () => [row([["Nothing applied yet", "none", 4]])]);
}

/** Records applied a second, and how long an event takes to be seen, in seconds; null is not known. */
export function showFigures(rate, middle, slowest) {
  say("rate", rate === null ? "–" : whole(Math.round(rate)));
  say("latency", middle === null ? "–" : latency(middle));
  byId("latency").title = slowest === null ? "" : `99 of 100 within ${latency(slowest)}`;
}

/** The last price, and its move within the bars that are shown. */
export function showLast(bars, digits) {
  const last = bars.at(-1);
  const [from, to] = [Number(bars[0].open), Number(last.close)];
  const percent = ((to - from) / from) * 100;
  say("last", decimal(last.close, digits));
  say("change", `${percent < 0 ? "−" : "+"}${Math.abs(percent).toFixed(2)} % over ${span(bars)}`);
  byId("change").className = percent < 0 ? "falls" : "rises";
}

/** One bar in words: the one under the pointer, else the newest. Its prices stay together, and so does the rest. */
export function showReadout(bar, digits, unit) {
  const facts = factsOf(bar, digits, unit);
  const rest = facts.findIndex(([name]) => name === "VWAP");
  const groups = [facts.slice(0, rest), facts.slice(rest)];
  byId("readout").replaceChildren(...groups.map((group) => element("span", "", "", ...group.map(factLine))));
}

function factLine([name, text, mood = ""]) {
  const fact = element("span", text, mood);
  if (name) fact.prepend(element("i", name), " ");
  return fact;
}

/** One bar for who hears the page. */
export function spoken(bar, digits, unit) {
  const names = { O: "open", H: "high", L: "low", C: "close", Vol: "volume", Δ: "delta", Sum: "cumulative delta" };
  return factsOf(bar, digits, unit)
    .map(([name, text]) => `${names[name] ?? name} ${text}`.trim())
    .join(", ");
}

function factsOf(bar, digits, unit) {
  const both = `${whole(bar.batchTrades)} batch + ${whole(bar.trades - bar.batchTrades)} speed`;
  const facts = [
    ["", moment(bar.start)],
    ["O", decimal(bar.open, digits)],
    ["H", decimal(bar.high, digits)],
    ["L", decimal(bar.low, digits)],
    ["C", decimal(bar.close, digits)],
    ["VWAP", decimal(Number(bar.vwap).toFixed(digits))],
    ["Vol", short(bar.volume) + unit],
    ["Δ", signed(bar.delta), bar.delta < 0n ? "falls" : "rises"],
    ["Sum", signed(bar.cumulative)],
    ["Trades", `${whole(bar.trades)} (${bar.part === "both" ? both : bar.part})`],
  ];
  if (bar.correction !== undefined) facts.push(["Corrected", bar.correction, "fair"]);
  return facts;
}

/** The middle of the chart while there is nothing to draw; null takes it away. */
export function showMessage(title, detail = "") {
  byId("message").hidden = title === null;
  if (title === null) return;
  say("message-title", title);
  say("message-detail", detail);
}

function row(cells) {
  const line = element("tr");
  for (const [text, name = "", columns = 1] of cells) {
    const cell = element("td", text, name);
    cell.colSpan = columns;
    line.append(cell);
  }
  return line;
}

function span(bars) {
  return age(bars[0].start, bars.at(-1).start / 1000);
}
