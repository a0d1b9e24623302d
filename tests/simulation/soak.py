"""Runs many seeds on every core, for as long as it takes: `make soak`.

python -m tests.simulation.soak --seeds 10000 --first 1000
python -m tests.simulation.soak --seed 4711            one seed, with the last lines of what happened
"""

import argparse
import json
import os
import sys

from tests.simulation.report import STEPS, run_seeds


def main(arguments: list[str]) -> int:
    """0 if nothing broke and enough happened."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=10_000, help="how many (10,000)")
    parser.add_argument("--first", type=int, default=1_000, help="the first one (1,000: behind those of `make test`)")
    parser.add_argument("--seed", type=int, help="this one alone")
    parser.add_argument("--steps", type=int, default=STEPS, help=f"random steps a seed ({STEPS})")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="processes (one a core)")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    given = parser.parse_args(arguments)
    if given.seed is not None:
        report = run_seeds([given.seed], given.steps)
    else:
        report = run_seeds(range(given.first, given.first + given.seeds), given.steps, given.jobs)
    short = {} if given.seed is not None else report.short_of()
    if given.json:
        facts = {
            "seeds": report.seeds,
            "violations": report.violations,
            "seeds_per_minute": round(60 * report.seeds / report.seconds, 1),
            "too_few": short,
            "counts": dict(sorted(report.counts.items())),
        }
        sys.stdout.write(json.dumps(facts) + "\n")
    else:
        sys.stdout.write(report.text() + "\n")
    return 1 if report.violations or short else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
