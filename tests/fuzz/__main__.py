"""`make fuzz`: Schemathesis with all its checks and at least 10,000 requests, until one is answered wrongly.

    python -m tests.fuzz [--cases 10000] [--seed 1]

Schemathesis says what is wrong, with the curl command that repeats it.
"""

import argparse
import sys
import tempfile
from collections import Counter
from pathlib import Path

from tests.fuzz.run import Target

CASES = 10_000
EXAMPLES = 100  # an operation and run; each run begins with the requests that are the same for every seed


def main() -> int:
    """Run, and say how many requests there were and how they were answered."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description="Schemathesis against the real service.")
    parser.add_argument("--cases", type=int, default=CASES, help=f"at least so many requests (default {CASES})")
    parser.add_argument("--seed", type=int, default=1, help="of the first run (default 1)")
    options = parser.parse_args()
    counts: Counter[str] = Counter()
    statuses: Counter[int] = Counter()
    seed = options.seed
    with tempfile.TemporaryDirectory() as folder, Target(Path(folder)) as target:
        while sum(counts.values()) < options.cases:
            found = target.fuzz(seed, EXAMPLES)
            counts += found.counts
            statuses += found.statuses
            print(f"seed {seed}: {sum(found.counts.values()):,} requests, exit code {found.code}", flush=True)
            if found.code:
                print(found.text)
                return 1
            seed += 1
    for name, count in sorted(counts.items()):
        print(f"  {name:45} {count:7,}")
    failed = sum(count for status, count in statuses.items() if status >= 500)
    print(f"{sum(counts.values()):,} requests, {failed} answers of 5xx, no check failed.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
