"""Many seeded schedules of feeds, several at once: `python -m tests.feeds.soak --seeds 1000 [--venue kraken]`."""

import argparse
import logging
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from ingest.feeds.registry import FEEDS
from tests.feeds.schedule import check, play


def _one(venue: str, seed: int) -> tuple[int, str, int, int]:
    try:
        outcome = play(venue, seed)
        check(FEEDS[venue], outcome)
    except AssertionError as wrong:
        return seed, str(wrong), 0, 0
    return seed, "", len(outcome.truth), sum(outcome.faults.values())


def main(arguments: list[str]) -> int:
    """Play them; 1 where one fails."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=1000)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--venue", action="append", choices=sorted(FEEDS))
    parser.add_argument("--at-once", type=int, default=12)
    given = parser.parse_args(arguments)
    logging.disable(logging.CRITICAL)
    failed = 0
    for venue in given.venue or FEEDS:
        began = time.monotonic()

        with ThreadPoolExecutor(given.at_once) as pool:
            found = list(pool.map(partial(_one, venue), range(given.first, given.first + given.seeds)))
        for seed, error, _, _ in found:
            if error:
                failed += 1
                print(f"{venue} {seed}: {error}")
        trades, faults = sum(each[2] for each in found), sum(each[3] for each in found)
        took = time.monotonic() - began
        print(f"{venue}: {len(found)} schedules, {trades:,} trades, {faults:,} faults and requests, {took:.0f} s")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
