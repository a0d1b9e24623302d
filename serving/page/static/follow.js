// Following one instrument and interval: by the stream, and by asking again and again where the stream is refused.
//
//     stream   snapshot | bars | version | heartbeat, whole bars each; lost: tried again, from the last event on
//     polling  the newest bars as a snapshot, four times a second; the stream is tried again meanwhile
//
// `handle(name, data)` gets the events, `tell(state, detail)` the state: connecting, live, polling, away, locked,
// refused. Both are called for what was asked last, and for nothing else.

import { Problem, Unreachable, barsPath, get } from "./api.js";
import { readStream } from "./stream.js";

const POLL_MS = 250;
const HIDDEN_POLL_MS = 10_000;
const STREAM_AGAIN_MS = 15_000;
const PAUSE_MS = { first: 250, most: 8000 };

export class Follower {
  constructor({ handle, tell, limit }) {
    this._handle = handle;
    this._tell = tell;
    this._limit = limit;
    this._stop = new AbortController();
    this._wake = () => {};
  }

  /** Follow `asked` from now on, and what was asked before no more. */
  follow(asked) {
    this._stop.abort(new DOMException("Another question is asked.", "AbortError"));
    this._stop = new AbortController();
    this._run(asked, this._stop.signal);
  }

  /** Try again at once: a key was given, or the page is looked at again. */
  retry() {
    this._wake();
  }

  async _run(asked, signal) {
    const resume = { id: null };
    let pause = PAUSE_MS.first;
    this._tell("connecting");
    while (!signal.aborted) {
      try {
        await this._stream(asked, resume, signal, () => (pause = PAUSE_MS.first));
      } catch (failure) {
        if (signal.aborted) return;
        let error = failure;
        if (error instanceof Problem && error.status !== 401) error = await this._poll(asked, error, signal);
        if (signal.aborted) return;
        if (error !== null) {
          this._fail(error, pause);
          await this._rest(pause, signal);
          pause = Math.min(PAUSE_MS.most, pause * 2);
        }
      }
    }
  }

  /** Ends by an error alone. */
  _stream({ venue, symbol, interval }, resume, signal, opened) {
    const query = new URLSearchParams({ venue, symbol, interval, limit: this._limit });
    const heard = (name, data) => {
      opened();
      if (name === "end") {
        throw new Unreachable(data.detail);
      }
      this._tell("live");
      this._handle(name, data);
    };
    return readStream(`v1/stream/bars?${query}`, resume, signal, () => {}, heard);
  }

  /** Poll for a while, since the stream is refused. Null when it is time to try it again, else what went wrong. */
  async _poll(asked, refused, signal) {
    const until = performance.now() + STREAM_AGAIN_MS;
    while (performance.now() < until) {
      try {
        const { data, lag } = await get(barsPath(asked, this._limit), { signal });
        this._tell("polling", refused.message);
        this._handle("snapshot", { bars: data.bars, meta: data.meta, polled: true });
        this._handle("heartbeat", { ...data.meta, lag });
      } catch (error) {
        return error;
      }
      await this._rest(document.hidden ? HIDDEN_POLL_MS : POLL_MS, signal);
      if (signal.aborted) break;
    }
    return null;
  }

  _fail(error, pause) {
    if (error instanceof Problem) this._tell(error.status === 401 ? "locked" : "refused", error);
    else if (error instanceof Unreachable) this._tell("away", { pause });
    else throw error;
  }

  /** Wait; `retry` and another question end it early. */
  _rest(ms, signal) {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, ms);
      this._wake = () => {
        clearTimeout(timer);
        resolve();
      };
      signal.addEventListener("abort", this._wake, { once: true });
    });
  }
}
