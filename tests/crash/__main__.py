"""The soak: `slackwater up` and ingest as real processes, SIGKILL at random times, and a reader that trusts nobody.

    python -m tests.crash --kills 200 --records 200000 --seed 1        what `make crash` runs; prints a table

Every answer during the faults equals the oracle at its own `applied`, nothing goes back; and after, every id stands
in the log once and every bar of every interval is right. Ends with 0 only if all of that holds.
"""

import argparse
import json
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from rich.console import Console

from slackwater.log.events import decode
from slackwater.log.log import Log, read_range
from slackwater.streams.trades import TRADES
from tests.crash.feeder import Feeder
from tests.crash.killer import kill, recoveries
from tests.crash.reader import Reader
from tests.crash.table import Found
from tests.crash.up import Up
from tests.crash_kit import until
from tests.proof_kit import Kept, compared, prove
from verify.client import Client

SETTLE_S = 300.0


def soak(home: Path, kills: int, records: int, gap_s: float, seed: int) -> Found:
    """Run one; the trades last as long as the kills."""
    up = Up(home)
    try:
        until(up.ready, SETTLE_S)
        began = time.monotonic()
        feeder = Feeder(up, records, records / (kills * gap_s), seed)
        reader = Reader(up, feeder, seed)
        try:
            killed = kill(up, feeder, kills, gap_s, seed)
            until(lambda: feeder.done, SETTLE_S)
            until(up.ready, SETTLE_S)
            ended = time.monotonic()
            until(lambda: any(moment > ended + 1 for moment in reader.level), SETTLE_S)
            until(lambda: up.run_ended(ended) is not None, SETTLE_S)
        finally:
            reader.stop()
            feeder.stop()
        seconds = time.monotonic() - began
        during = compared(Kept(up.log, up.names, up.store, reader.archives), reader.answers)
        with Client(up.url) as client:
            after = prove(client, up.log, up.names, up.store)
        found = taken(up.log, up.names.topic("trades"))
        wanted = feeder.expected()
        return Found(
            records=records,
            deaths=recoveries(killed, up, reader),
            lost=len(wanted - found.keys()),
            doubled=sum(found.values()) - len(found) + len(found.keys() - wanted),
            backwards=reader.backwards,
            during=during,
            after=after,
            seconds=seconds,
            versions=len(up.store.whole()),
            restarts=feeder.restarts,
            refused=Counter(reader.refused),
            told=reader.told,
        )
    finally:
        up.stop()


def taken(log: Log, topic: str) -> Counter[tuple[str, str]]:
    """How often each (symbol, id) stands in the log."""
    bounds = log.bounds(topic)
    found: Counter[tuple[str, str]] = Counter()
    starts, ends = {p: b.start for p, b in bounds.items()}, {p: b.end for p, b in bounds.items()}
    for piece in read_range(log, topic, starts, ends):
        table = decode(TRADES, piece.records).table
        found.update(zip(table.column("symbol").to_pylist(), table.column("trade_id").to_pylist(), strict=True))
    return found


def main(arguments: list[str]) -> int:
    """The program."""
    parser = argparse.ArgumentParser(prog="python -m tests.crash", description="SIGKILL everything, and compare.")
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--records", type=int, default=200_000)
    parser.add_argument("--gap", type=float, default=3.5, metavar="SECONDS", help="mean time between two kills")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="slackwater-crash-") as folder:
        found = soak(Path(folder), given.kills, given.records, given.gap, given.seed)
    if given.json:
        print(json.dumps(found.facts()))
    else:
        found.show(Console(highlight=False, width=None if sys.stdout.isatty() else 160))
    return 0 if found.holds else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
