"""`slackwater demo`: the stack with the real sample trades as if they happened now, a view of it, and the proof."""

import contextlib
import json
import threading
import time
from typing import Any

import httpx
from rich.live import Live

from ops.cli_verify import proof_facts, show_proof
from ops.context import Context
from ops.demo_view import Lines, State, render
from ops.evidence import LogEvidence, claims, prove
from ops.output import console
from ops.rest import session
from ops.up import Stack, line_printer, stopping
from slackwater.log.errors import LogError
from verify.client import Client
from verify.proof import Proof

CHECK_S = 0.5
TICK_S = 0.1
PROOF_WAIT_S = 30.0


class Watch:
    """Looks at the running system from outside: the log's offsets, and what the service says of itself."""

    def __init__(self, context: Context, state: State) -> None:
        self._context = context
        self._state = state
        self._http = session(context)

    def check(self) -> None:
        """Take one look; what cannot be seen now stays as it was."""
        state, names = self._state, self._context.names
        try:
            streams = self._context.streams
            state.records = sum(map(self._records, map(names.topic, streams)))
            state.deltas = sum(map(self._records, map(names.deltas, streams)))
            state.dead_letters = self._records(names.dead_letters)
            state.versions = self._http.get("/v1/versions").json()["versions"]
            instruments = self._http.get("/v1/instruments").json()["instruments"]
            state.bars = [self._last_bar(i["venue"], i["symbol"]) for i in instruments]
            state.ready = self._http.get("/health/ready").status_code == httpx.codes.OK
            state.trouble = ""
        except (LogError, httpx.HTTPError, KeyError, ValueError) as error:
            state.trouble = str(error) or type(error).__name__

    def _records(self, topic: str) -> int:
        return sum(bounds.end for bounds in self._context.log.bounds(topic).values())

    def _last_bar(self, venue: str, symbol: str) -> dict[str, Any]:
        query: dict[str, str] = {"venue": venue, "symbol": symbol, "interval": "1m", "limit": "1"}
        found = self._http.get("/v1/bars", params=query)
        body = found.json()
        lag = found.headers.get("Slackwater-Lag-Records", "")
        bar = body["bars"][-1] if body["bars"] else {}
        return {"venue": venue, "symbol": symbol, "lag": lag, "meta": body["meta"], **bar}

    def close(self) -> None:
        """Release."""
        self._http.close()


def run_demo(context: Context, seconds: int | None, as_json: bool) -> bool:
    """Run it for so many seconds after the service is ready, or until Ctrl-C; whether the proof holds."""
    began = time.monotonic()
    pretty = console.is_terminal and not as_json
    lines = Lines()
    printer = line_printer(as_json)
    on_line = lines.add if pretty else printer
    printer("demo", "starting the broker, the layers and the service")
    with stopping() as stop, Stack(context, demo=True, on_line=on_line if pretty else printer) as stack:
        stack.wait_ready(stop)
        if not stop.is_set():
            printer("demo", f"open {context.url}  (ready after {time.monotonic() - began:.0f} s; Ctrl-C ends)")
        state = State(context.url, seconds)
        _flow(context, stack, state, lines, stop, pretty)
        printer("demo", "proving: every row of every view, recomputed from the event log")
        proof = _prove(context)
    if as_json:
        print(json.dumps({"proof": proof_facts(proof), "versions": len(state.versions), "records": state.records}))
    else:
        published = "1 version was" if len(state.versions) == 1 else f"{len(state.versions)} versions were"
        console.print(f"{published} published while trades flowed.")
        show_proof(proof)
    return proof.holds


def _flow(context: Context, stack: Stack, state: State, lines: Lines, stop: threading.Event, pretty: bool) -> None:
    watch = Watch(context, state)
    end_s = time.monotonic() + state.seconds if state.seconds else None
    next_look_s = 0.0
    try:
        view = Live(render(state, lines), console=console, auto_refresh=False, transient=True) if pretty else None
        with view or contextlib.nullcontext() as live:
            while not stop.wait(TICK_S):
                stack.keep()
                now_s = time.monotonic()
                if end_s is not None and now_s >= end_s:
                    return
                if now_s >= next_look_s:
                    next_look_s = now_s + CHECK_S
                    watch.check()
                    state.left_s = end_s - now_s if end_s is not None else None
                    if live is not None:
                        live.update(render(state, lines), refresh=True)
    finally:
        watch.close()


def _prove(context: Context) -> Proof:
    """The proof of the running system, which may be away for a moment."""
    with Client(context.url, http=session(context, timeout_s=30.0)) as client:
        evidence = LogEvidence(context.log, context.names, context.store)
        return prove(client, evidence, claims(context.views, registered=context.streams), PROOF_WAIT_S)
