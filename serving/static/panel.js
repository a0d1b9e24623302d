// The panel beside the chart: what an answer says of itself, the health of the layers, and the versions.
//
// Every function takes plain data and writes text into the page; none asks the service for anything.

import { age, decimal, moment, short, whole } from "./format.js";

const SHOWN_VERSIONS = 7;

const PROOFS = {
  equal: ["good", "proven equal"],
  unproven: ["fair", "unproven"],
  different: ["bad", "different"],
};

const proofOf = (proof) =>
  proof.forced ? ["bad", `forced, ${proof.outcome}`] : (PROOFS[proof.outcome] ?? ["fair", proof.outcome]);

export const byId = (id) => document.getElementById(id);

/** Write text, without touching the page where it stands already. */
export function say(id, text) {
  const element = byId(id);
  if (element.textContent !== text) element.textContent = text;
}

/** The answer's own facts, and what its bars add up to. */
export function showAnswer(answer, lag, bars) {
  say("version", answer.version === 0 ? "0, empty" : String(answer.version));
  say("complete", answer.complete ? "yes" : "no");
  say("bars", whole(bars.length));
  say("trades", whole(bars.reduce((sum, bar) => sum + bar.trades, 0)));
  say("definition", answer.definition.slice(0, 12));
  byId("definition").title = answer.definition;
  byId("complete").className = answer.complete ? "" : "fair";
  say("lag", lag === null ? "–" : `${whole(lag)} ${lag === 1 ? "record" : "records"}`);
  byId("refusal").hidden = !answer.refusal;
  say("refusal", answer.refusal ?? "");
  showPartitions(answer);
}

/** No answer is shown: what stood in the panel is not true any more. */
export function clearAnswer() {
  for (const id of ["version", "age", "lag", "complete", "bars", "trades", "definition", "last"]) say(id, "–");
  for (const id of ["change", "readout"]) say(id, "");
  byId("refusal").hidden = true;
  byId("partitions").dataset.shown = "";
  byId("partitions").replaceChildren(row([["Nothing applied yet", "none", 4]]));
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

/** One bar in words: the one under the pointer, else the newest. */
export function showReadout(bar, digits, unit) {
  const both = `${whole(bar.batchTrades)} batch + ${whole(bar.trades - bar.batchTrades)} speed`;
  const facts = [
    ["", moment(bar.start)],
    ["O", decimal(bar.open, digits)],
    ["H", decimal(bar.high, digits)],
    ["L", decimal(bar.low, digits)],
    ["C", decimal(bar.close, digits)],
    ["VWAP", decimal(Number(bar.vwap).toFixed(digits))],
    ["Vol", short(bar.volume) + unit],
    ["Trades", `${whole(bar.trades)} (${bar.part === "both" ? both : bar.part})`],
  ];
  byId("readout").replaceChildren(
    ...facts.map(([name, text]) => {
      const fact = element("span", text);
      if (name) fact.prepend(element("i", name), " ");
      return fact;
    }),
  );
}

/** What /health/ready says, and `answer` of the speed layer; null while nothing answers. */
export function showHealth(health, answer) {
  if (health === null) {
    showLayers([["Service", "bad", "unreachable"]], []);
    return;
  }
  const { ready, reasons = [], version, proof } = health;
  const items = [["Service", ready ? "good" : "bad", ready ? "ready" : "not ready"]];
  const [tone, text] = proof ? proofOf(proof) : ["fair", "nothing published"];
  items.push(["Batch", tone, version ? `version ${version}, ${text}` : text]);
  const applied = answer && answer.layer !== "batch";
  const chain = applied ? (answer.complete ? "unbroken chain" : "a cell is missing") : "not applied";
  items.push(["Speed", applied && answer.complete ? "good" : "fair", chain]);
  showLayers(items, reasons);
}

function showLayers(items, reasons) {
  const lines = items.map(([name, mood, words]) => {
    const line = element("li", "", mood);
    line.append(element("span", name), element("span", words));
    return line;
  });
  byId("layers").replaceChildren(...lines, ...reasons.map((reason) => element("li", reason, "reason")));
}

/** The newest versions, with the one that is served marked. */
export function showVersions(versions, served) {
  const newest = [...versions].sort((one, other) => other.version - one.version).slice(0, SHOWN_VERSIONS);
  const current = versions.find((each) => each.version === served);
  say("age", current ? age(current.created) : "–");
  if (newest.length === 0) return;
  const lines = newest.map((each) => {
    const [mood, text] = proofOf(each.proof);
    const line = element("li", "", mood);
    line.append(element("b", String(each.version)), element("span", `${age(each.created)} ago`), element("em", text));
    const events = each.counts.events === undefined ? [] : [`${whole(each.counts.events)} events`];
    const reason = each.proof.reason ? [each.proof.reason] : [];
    line.title = [`${moment(each.created)} UTC`, ...events, ...reason].join(", ");
    if (each.version === served) line.setAttribute("aria-current", "true");
    return line;
  });
  byId("versions").replaceChildren(...lines);
}

/** The middle of the chart while there is nothing to draw; null takes it away. */
export function showMessage(title, detail = "") {
  const box = byId("message");
  box.hidden = title === null;
  if (title === null) return;
  box.querySelector("strong").textContent = title;
  box.querySelector("span").textContent = detail;
}

function showPartitions({ cut, applied }) {
  const rows = Object.keys(applied).map((partition) => {
    const from = cut[partition] ?? 0;
    const to = applied[partition];
    return row([[partition], [whole(from)], [whole(to)], [whole(to - from), "speed"]]);
  });
  const text = JSON.stringify([cut, applied]);
  if (byId("partitions").dataset.shown === text) return;
  byId("partitions").dataset.shown = text;
  byId("partitions").replaceChildren(...rows);
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
  const first = bars[0].start;
  return age(first, bars.at(-1).start / 1000);
}

function element(tag, text = "", name = "") {
  const made = document.createElement(tag);
  made.textContent = text;
  if (name) made.className = name;
  return made;
}
