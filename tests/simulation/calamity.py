"""What the log must never do, done to it as the last act of some seeds: its tail is lost, or its topic created again.

Nothing can be whole after that, so it must be said: every server that is running notices, and from then on gives no
answer that mixes what was with what is; no batch run builds on it.

What this cannot show: a tail that is lost and refilled while nobody looks. Offsets alone cannot tell the two apart;
the mark at the cut does where the loss reaches below it, and the next proof where it does not.
"""

from typing import TYPE_CHECKING

from batch_layer.errors import ParentRefutedError, TailLostError
from serving.service import Service
from slackwater.log.errors import TopicRecreatedError
from tests.simulation import mains

if TYPE_CHECKING:
    from tests.simulation.programs import Program
    from tests.simulation.world import World

STEPS = 30
PATIENCE = 120


def befall(world: "World") -> None:
    """The calamity, what follows, and what must be said in the end."""
    world.mend_stream()
    for program in list(world.programs):
        if program.kind not in {"speed", "server"}:
            world.end(program)
    lose_tail = world.random.random() < 0.5
    if lose_tail:
        _lose_tail(world)
    else:
        world.log.create(world.names.topic("trades"), len(world.log.topics[world.names.topic("trades")]))
        world.begin_topic()
        world.trace.count("topics created again")
    for program, service in list(world.services.items()):
        _notice(world, program, service)
    moves = [world.advance] * 6 + [world.produce] * 2 + [world.arrive, world.turn_clock, world.compact, world.gap]
    for _ in range(STEPS):
        world.random.choice(moves)()
        world.check()
    if not lose_tail and not world.pointed:
        world.until_whole()  # version 0 knows no topic: all begins anew
        return
    _refused(world, lose_tail)


def _lose_tail(world: "World") -> None:
    """Below what at least one server has applied; those that would see no loss end, as said above."""
    parts = world.log.topics[world.names.topic("trades")]
    p = world.random.randrange(len(parts))
    applied = {program: service.hot.furthest("trades").get(p, 0) for program, service in world.services.items()}
    most = max(applied.values(), default=0)
    end = world.random.randint(parts[p].start, max(parts[p].start, min(most, parts[p].end) - 1))
    world.log.truncate(world.names.topic("trades"), p, end)
    world.trace.count("tails lost")
    for program, at in applied.items():
        if at <= end:
            world.end(program)


def _notice(world: "World", program: "Program", service: Service) -> None:
    for _ in range(PATIENCE):
        world.clock.turn(0.5)
        program.advance(6)
        ends = {p: part.end for p, part in enumerate(world.log.topics[world.names.topic("trades")])}
        snapshot, facts = service.watch.snapshot, service.lives["trades"].log_watch.facts
        seen = facts is not None and facts.topic_id == world.topic_ids["trades"]
        seen = seen and all(bounds.end <= ends[p] for p, bounds in (facts.bounds if facts else {}).items())
        standing = None if snapshot is None else snapshot.streams["trades"]
        right = standing is None or not standing.chain or standing.topic_id == world.topic_ids["trades"]
        tail = standing is not None and standing.chain and _tail(service.hot.furthest("trades"), ends)
        if seen and right and not tail:
            return
    raise AssertionError(f"{program.name} does not notice: {service.watch.snapshot}")


def _tail(applied: dict[int, int], ends: dict[int, int]) -> bool:
    return any(at > ends.get(p, at) for p, at in applied.items())


def _refused(world: "World", lose_tail: bool) -> None:
    cuts = world.manifest_of(world.pointed).cut("trades")
    parts = world.log.topics[world.names.topic("trades")]
    # A version that holds nothing of a partition, whose mark was not taken, stands on nothing that was lost there.
    below = any(at >= world.log.book.cut_off.get(p, at + 1) for p, at in cuts.items() if at > parts[p].start)
    if world.pointed and cuts and (below or not lose_tail):  # without a cut no version stands on what was lost
        if len(world.streams) > 1:
            _held(world, lose_tail)
        else:
            try:
                mains.new_run(world).run()
            except (TailLostError, TopicRecreatedError):
                world.trace.count("runs refused")
            else:
                raise AssertionError("a run built on a log that is another one")
        for program, service in world.services.items():
            _check(world, program, service)
            assert not service.readiness.check().ready, f"{program.name} is ready"


def _check(world: "World", program: "Program", service: Service) -> None:
    """It comes to see what the pointer names: one that still stands on version 0 has no topic to miss."""
    for _ in range(PATIENCE):
        if service.watch.snapshot is not None and service.watch.snapshot.version == world.pointed:
            return
        world.clock.turn(0.5)
        program.advance(6)
    raise AssertionError(f"{program.name} does not see version {world.pointed}: {service.watch.snapshot}")


def _held(world: "World", lose_tail: bool) -> None:
    """The other streams are published; of this one the version keeps what its parent has.

    Cells of what is lost and of what came in its place refute a parent that was published unproven: no run builds
    upon that one.
    """
    parent = world.manifest_of(world.pointed)
    try:
        made = mains.new_run(world).run()
    except ParentRefutedError:
        assert lose_tail and parent.proof.outcome == "unproven", f"version {parent.version} was {parent.proof.outcome}"
        world.trace.count("versions that a lost tail refuted")
        return
    world.check()
    assert made.cut("trades") == parent.cut("trades"), "a cut moved in a log that is another one"
    assert len(made.of("trades").held) == len(parent.of("trades").marks), "nobody is told that trades are held"
    assert not any(made.of(stream).held for stream in world.streams[1:]), "another stream is held"
    world.trace.count("versions beside a stream that was lost")
