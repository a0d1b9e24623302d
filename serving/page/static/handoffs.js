// The last hand-offs with their proofs, the last restatements, and the note of a version that was published.

import { element, fill, say } from "./dom.js";
import { age, decimal, moment, timeOfDay, whole } from "./format.js";

const SHOWN = 6;
const NOTE_MS = 9000;
const PROOFS = { equal: "good", unproven: "fair", different: "bad" };

const moodOf = (proof) => (proof.forced ? "bad" : (PROOFS[proof.outcome] ?? "fair"));
const outcomeOf = (proof) => (proof.forced ? `forced, ${proof.outcome}` : proof.outcome);

/** The newest versions with their proofs, the one that is served marked. */
export function showHandoffs(versions, served) {
  const newest = [...versions].sort((one, other) => other.version - one.version).slice(0, SHOWN);
  const current = versions.find((each) => each.version === served);
  say("age", current ? age(current.created) : "–");
  if (newest.length === 0) return;
  fill("handoffs", [served, newest.map((each) => [each.version, each.proof, age(each.created)])], () =>
    newest.map((each) => handoff(each, each.version === served)),
  );
}

function handoff({ version, created, proof, restated = {} }, current) {
  const changed = Object.values(restated).reduce((sum, count) => sum + count, 0);
  const facts = [
    `${whole(proof.records)} records`,
    `${whole(proof.compared)} cells`,
    ...(proof.differ ? [`${whole(proof.differ)} differ`] : []),
    ...(changed ? [`${whole(changed)} restated`] : []),
    ...(proof.reason ? [proof.reason] : []),
  ];
  const line = element(
    "li",
    "",
    moodOf(proof),
    element("b", `v${version}`),
    element("span", `${age(created)} ago`),
    element("strong", outcomeOf(proof)),
    element("small", facts.join(" · ")),
  );
  line.title = `${moment(created)} UTC`;
  if (current) line.setAttribute("aria-current", "true");
  return line;
}

/** The newest restatements of what is shown, newest first. */
export function showRestatements(rows) {
  const newest = rows.slice(-SHOWN).reverse();
  fill("restatements", newest, () =>
    newest.length === 0
      ? [element("li", "None of this instrument in the last versions", "none")]
      : newest.map((row) => {
          const [before, after] = [row.before, row.after].map((bar) => (bar ? decimal(bar.close) : "no bar"));
          const close = before === after ? `close ${after}, volume ${row.after.volume}` : `close ${before} → ${after}`;
          return element(
            "li",
            "",
            "fair",
            element("b", `v${row.version}`),
            element("span", `${timeOfDay(row.start)} ${row.interval}`),
            element("strong", row.cause.replaceAll("_", " ")),
            element("small", close),
          );
        }),
  );
}

let hiding;

/** Note for a while what a publication moved: `records` from the speed layer's part to the batch view's. */
export function noteVersion(version, records) {
  const moved = records === null ? "" : `, ${whole(records)} records moved`;
  say("note", `v${version} published${moved}`);
  clearTimeout(hiding);
  hiding = setTimeout(() => say("note", ""), NOTE_MS);
}
