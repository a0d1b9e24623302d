// Server-sent events over fetch: EventSource cannot send a key, nor tell a refusal from a lost connection.
//
// Not here: what the events mean (`follow.js`).

import { Unreachable, problem, reached, request } from "./api.js";
import { createParser } from "./vendor/eventsource-parser/parse.js";

const SILENT_MS = 25_000; // the service says something at least every ten seconds

/**
 * Read one stream to its end, which is always an error: Problem where it is refused, Unreachable where it is lost or
 * silent, `signal`'s reason where it was asked for. `onEvent` gets (name, data); `resume.id` is kept for the next call.
 */
export async function readStream(path, resume, signal, onOpen, onEvent) {
  const silence = new AbortController();
  const either = AbortSignal.any([signal, silence.signal]);
  let timer;
  const heard = () => {
    clearTimeout(timer);
    timer = setTimeout(() => silence.abort(new Unreachable("The stream is silent.")), SILENT_MS);
  };
  const headers = { Accept: "text/event-stream", ...(resume.id ? { "Last-Event-ID": resume.id } : {}) };
  try {
    heard();
    const response = await request(path, headers, either);
    if (!response.ok) throw await problem(response);
    onOpen();
    const parser = createParser({
      onEvent: ({ event, data, id }) => {
        onEvent(event, JSON.parse(data));
        if (id !== undefined) resume.id = id;
      },
    });
    const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
    for (;;) {
      const { done, value } = await reached(reader.read(), either);
      if (done) throw new Unreachable("The stream ended.");
      heard();
      parser.feed(value);
    }
  } finally {
    clearTimeout(timer);
  }
}
