// The client of the service's own interface: JSON with ETags, and the two ways in which a request can fail.
//
// Times in answers are integer microseconds, UTC. Prices and quantities are decimal texts; they become numbers only
// where a pixel is computed from them.

const TIMEOUT_MS = 8000;
const KEPT_ANSWERS = 32;

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

/**
 * GET a path: its JSON, and the lag in records where the answer says it.
 *
 * The ETag is sent by hand: so a 304 is seen as such, and the lag, which is outside the ETag, is the new one. `data` is
 * then the very same object as before. `also` names a status whose JSON is an answer too.
 */
export async function get(path, { also = 200, signal } = {}) {
  const known = kept.get(path);
  const response = await reach(path, known ? { "If-None-Match": known.etag } : {}, signal);
  const header = response.headers.get("Slackwater-Lag-Records");
  const lag = header === null ? null : Number(header);
  if (response.status === 304) return { data: known.data, lag };
  if (!response.ok && response.status !== also) {
    const { detail } = await response.json().catch(() => ({}));
    throw new Problem(response.status, detail ?? `The service answers ${response.status}.`);
  }
  const data = await reached(response.json(), signal);
  const etag = response.headers.get("ETag");
  if (etag) keep(path, { etag, data });
  return { data, lag };
}

/** The path of the newest bars of an instrument. `layer` is merged or batch. */
export function barsPath({ venue, symbol, interval }, limit, layer = "merged") {
  const query = new URLSearchParams({ venue, symbol, interval, limit });
  if (layer !== "merged") query.set("layer", layer);
  return `v1/bars?${query}`;
}

function reach(path, headers, signal) {
  const limits = [AbortSignal.timeout(TIMEOUT_MS), ...(signal ? [signal] : [])];
  return reached(fetch(path, { headers, cache: "no-store", signal: AbortSignal.any(limits) }), signal);
}

async function reached(answer, signal) {
  try {
    return await answer;
  } catch (error) {
    throw signal?.aborted ? signal.reason : new Unreachable(error.message);
  }
}

function keep(path, answer) {
  kept.delete(path);
  kept.set(path, answer);
  if (kept.size > KEPT_ANSWERS) kept.delete(kept.keys().next().value);
}
