// The health of each layer, and the banner that says what the numbers still mean while one of them is down.
//
// The states come from /health/ready; `null` is a service that does not answer.

import { byId, element, fill, say } from "./dom.js";
import { age, timeOfDay, whole } from "./format.js";

const MOODS = { up: "good", degraded: "fair", down: "bad" };
const NAMES = { log: "Log", speed: "Speed", batch: "Batch", serving: "Serving" };

/** A line for each layer, and the reasons why the service is not ready. */
export function showLayers(health) {
  const lines =
    health === null
      ? [["Serving", "bad", "unreachable", "The server does not answer."]]
      : Object.entries(health.layers ?? {}).map(([name, { state, text, since }]) => [
          NAMES[name] ?? name,
          MOODS[state],
          state === "up" ? text.replace(/\.$/, "") : `${state} for ${age(since)}`,
          state === "up" ? "" : text,
        ]);
  const reasons = health?.reasons ?? [];
  fill("layers", [lines, reasons], () => [
    ...lines.map(([name, mood, words, text]) =>
      element("li", "", mood, element("span", name), element("strong", words), ...(text ? [element("small", text)] : [])),
    ),
    ...reasons.map((reason) => element("li", reason, "reason")),
  ]);
}

/**
 * Say what is wrong, since when, and what the bars still are; nothing where nothing is. Returns whether something is.
 * `away` is the moment since when the server does not answer, `bars` what is shown, `meta` what it stands on.
 */
export function showBanner(health, { away, bars, meta }) {
  const text = away === null ? fault(health, bars, meta) : `The server has not answered since ${at(away)}. ${kept(bars)}`;
  byId("banner").hidden = text === "";
  say("banner", text);
  return text !== "";
}

function fault(health, bars, meta) {
  const { log, speed, batch } = health?.layers ?? {};
  if (meta?.layer === "batch") {
    const reason = meta.refusal ? ` ${meta.refusal}` : "";
    return `Batch only: version ${meta.version}, up to ${newest(bars)}. The speed layer has no part in this.${reason}`;
  }
  if (log?.state === "down") {
    return `The log has been out of reach since ${at(log.since)}: ${log.text} Bars hold what was applied until then.`;
  }
  if (speed?.state === "down") {
    const below = bars.findLast((bar) => bar.part !== "speed");
    const batch = below === undefined ? "Batch has none of these bars." : `Batch reaches to ${timeOfDay(below.start)}.`;
    const lag = `${whole(speed.lag)} records of the log are not in these bars`;
    return `The speed layer has been down since ${at(speed.since)}: ${lag}, they end at ${newest(bars)}. ${batch}`;
  }
  if (batch?.state === "down") return `The batch layer has been down since ${at(batch.since)}: ${batch.text}`;
  return meta?.refusal ?? "";
}

function kept(bars) {
  return bars.length === 0 ? "This page keeps trying." : `Bars are as they were then, up to ${newest(bars)}.`;
}

function newest(bars) {
  return bars.length === 0 ? "nothing yet" : timeOfDay(bars.at(-1).start);
}

function at(us) {
  return `${timeOfDay(us)} (${age(us)})`;
}
