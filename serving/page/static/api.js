// The client of the service's own interface: JSON with ETags, the key, and the ways in which a request can fail.
//
// Times in answers are integer microseconds, UTC. Prices and quantities are decimal texts; they become numbers only
// where a pixel is computed from them.

const TIMEOUT_MS = 8000;
const KEPT_ANSWERS = 32;
const KEY = "slackwater-key";

/** The service cannot be reached, or does not answer in time. */
export class Unreachable extends Error {}

/** The service refused; `message` is its problem's detail (RFC 9457). */
export class Problem extends Error {
  constructor(status, detail) {
    super(detail);
    this.status = status;
  }
}

const kept = new Map(); // path -> { etag, data }

/** The reader's key, for this tab alone; empty without one. */
export function key() {
  return sessionStorage.getItem(KEY) ?? "";
}

/** Take a key; an empty one is forgotten. What was answered before is forgotten, too. */
export function setKey(text) {
  kept.clear();
  if (text) sessionStorage.setItem(KEY, text);
  else sessionStorage.removeItem(KEY);
}

/**
 * GET a path: its JSON, and the lag in records where the answer says it.
 *
 * The ETag is sent by hand: so a 304 is seen as such, and the lag, which is outside the ETag, is the new one. `data` is
 * then the very same object as before. `also` names a status whose JSON is an answer too.
 */
export async function get(path, { also = 200, signal } = {}) {
  const known = kept.get(path);
  const response = await request(path, known ? { "If-None-Match": known.etag } : {}, timed(signal));
  const header = response.headers.get("Slackwater-Lag-Records");
  const lag = header === null ? null : Number(header);
  if (response.status === 304) return { data: known.data, lag };
  if (!response.ok && response.status !== also) throw await problem(response);
  const data = await reached(response.json(), signal);
  const etag = response.headers.get("ETag");
  if (etag) keep(path, { etag, data });
  return { data, lag };
}

/** The text of a path, such as the figures at /metrics. */
export async function getText(path) {
  const response = await request(path, {}, timed());
  if (!response.ok) throw await problem(response);
  return reached(response.text());
}

/** Ask with the key, if there is one. Raises Unreachable, or `signal`'s own reason. */
export function request(path, headers, signal) {
  const authorization = key() ? { Authorization: `Bearer ${key()}` } : {};
  return reached(fetch(path, { headers: { ...headers, ...authorization }, cache: "no-store", signal }), signal);
}

/** The problem that a refusing response tells. */
export async function problem(response) {
  const { detail } = await response.json().catch(() => ({}));
  return new Problem(response.status, detail ?? `The service answers ${response.status}.`);
}

/** The path of bars of an instrument, the newest `limit` before `end`. `layer` is merged or batch. */
export function barsPath({ venue, symbol, interval }, limit, { layer = "merged", end } = {}) {
  const query = new URLSearchParams({ venue, symbol, interval, limit });
  if (layer !== "merged") query.set("layer", layer);
  if (end !== undefined) query.set("end", end);
  return `v1/bars?${query}`;
}

function timed(signal) {
  return AbortSignal.any([AbortSignal.timeout(TIMEOUT_MS), ...(signal ? [signal] : [])]);
}

/** A promise whose failure is one of the network's: given on as Unreachable, unless it was asked for. */
export async function reached(answer, signal) {
  try {
    return await answer;
  } catch (error) {
    const asked = signal?.aborted && signal.reason.name !== "TimeoutError";
    throw asked ? signal.reason : new Unreachable(error.message);
  }
}

function keep(path, answer) {
  kept.delete(path);
  kept.set(path, answer);
  if (kept.size > KEPT_ANSWERS) kept.delete(kept.keys().next().value);
}
