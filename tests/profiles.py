"""The Hypothesis profile of every property test; importing this module loads it, so import it before `@given` is used.

`repeatable`, the default, draws the same examples in every run. HYPOTHESIS_PROFILE=search draws new ones, more of them;
`mutants` draws fewer and does not look for a smaller one where it fails, since only that is asked.
"""

import os

from hypothesis import HealthCheck, Phase, settings

_SLOW_IS_FINE = (HealthCheck.too_slow, HealthCheck.data_too_large)

settings.register_profile(
    "repeatable", derandomize=True, deadline=None, print_blob=True, max_examples=50, suppress_health_check=_SLOW_IS_FINE
)
settings.register_profile(
    "search", deadline=None, print_blob=True, max_examples=1000, suppress_health_check=_SLOW_IS_FINE
)
settings.register_profile("mutants", settings.get_profile("repeatable"), phases=(Phase.explicit, Phase.generate))
PROFILE = os.environ.get("HYPOTHESIS_PROFILE", "repeatable")
settings.load_profile(PROFILE)


def examples(count: int) -> settings:
    """Settings of a property that deserves `count` examples.

    A search takes ten times as many, new ones each time. The same ones each time find nothing more by being many: half
    of them when repeatable, and a fifth for a mutant, so that what is found to be killed is killed in any case.
    """
    many = {"search": 10 * count, "mutants": max(5, count // 5)}.get(PROFILE, max(min(count, 10), count // 2))
    return settings(settings.get_profile(PROFILE), max_examples=many)
