"""The fixed cases by their number in the list of counterexamples, and the beginnings that several share."""

from collections.abc import Callable

from slackwater.versions.rollback import rollback
from tests.simulation.stage import Stage

Case = Callable[[], None]
CASES: dict[int, list[Case]] = {}


def case(number: int) -> Callable[[Case], Case]:
    """The case of that number."""

    def add(body: Case) -> Case:
        CASES.setdefault(number, []).append(body)
        return body

    return add


def grown(versions: int) -> Stage:
    """A stage with so many versions, cells between them, and all of it read."""
    stage = Stage()
    worker = stage.worker()
    for _ in range(versions):
        stage.trades(0, 5)
        worker.step()
        stage.batch()
    stage.trades(0, 2)
    worker.step()
    return stage


def back_to(stage: Stage, version: int) -> None:
    """Roll back."""
    rollback(stage.world.store, version, "a case", "somebody", stage.world.clock.now_us)
    stage.world.check()
