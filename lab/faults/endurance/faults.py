"""What happens to the world: each fault strikes, and says how it is healed and when."""

from __future__ import annotations

import random
import signal
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

import psutil

from lab.faults.endurance.lines import BOTH, Direction, Line
from lab.faults.endurance.servers import LEASE_SECONDS
from lab.faults.endurance.world import STANDBY, SUBMITTERS, WORKERS, World

#: Seconds that the clock of the database may be ahead of this machine's, or behind.
OFFSETS: Final = (-12.0, -5.0, -1.0, 0.0, 3.0, LEASE_SECONDS + 2.0, 12.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Stroke:
    """One fault that is about to happen: to what, and how it is healed ``seconds`` later, if it is to be.

    Of those that happen to the same ``target`` the next one waits for the end of the one before.
    """

    target: str
    detail: str
    strike: Callable[[], object]
    seconds: float = 0.0
    heal: Callable[[], object] | None = None


def _seconds(rng: random.Random) -> float:
    """Mostly short; else longer than a lease."""
    return rng.uniform(0.3, 3) if rng.random() < 0.65 else rng.uniform(LEASE_SECONDS + 2, 3 * LEASE_SECONDS)


def _worker(rng: random.Random) -> str:
    return rng.choice([*WORKERS])


def kill_child(world: World, rng: random.Random) -> Stroke:
    name = _worker(rng)
    return Stroke(target="", detail=name, strike=lambda: world.signal(_one_child(world, name, rng), signal.SIGKILL))


def kill_supervisor(world: World, rng: random.Random) -> Stroke:
    return _kill(world, _worker(rng), rng, tree=False)


def kill_tree(world: World, rng: random.Random) -> Stroke:
    return _kill(world, rng.choice([*WORKERS, STANDBY]), rng, tree=True)


def kill_submitter(world: World, rng: random.Random) -> Stroke:
    return _kill(world, rng.choice(SUBMITTERS), rng, tree=True)


def _kill(world: World, name: str, rng: random.Random, *, tree: bool) -> Stroke:
    seconds = rng.choice([0.0, 0.0, rng.uniform(0.5, 3)])
    return Stroke(
        target=name,
        detail=f"{name}, again after {seconds:.1f} s",
        strike=lambda: world.kill(name, tree=tree),
        seconds=seconds,
        heal=lambda: world.start(name),
    )


def freeze_child(world: World, rng: random.Random) -> Stroke:
    name, seconds = _worker(rng), _seconds(rng)
    child = _Lazily(lambda: _one_child(world, name, rng))
    return Stroke(
        target=f"{name} frozen",
        detail=f"{name} for {seconds:.1f} s",
        strike=lambda: world.signal(child.found(), signal.SIGSTOP),
        seconds=seconds,
        heal=lambda: world.signal(child.found(), signal.SIGCONT),
    )


def freeze_tree(world: World, rng: random.Random) -> Stroke:
    return _freeze(world, rng.choice([*WORKERS, STANDBY]), rng, only_head=False)


def freeze_supervisor(world: World, rng: random.Random) -> Stroke:
    return _freeze(world, _worker(rng), rng, only_head=True)


def _freeze(world: World, name: str, rng: random.Random, *, only_head: bool) -> Stroke:
    seconds = _seconds(rng)
    tree = _Lazily(lambda: world.tree(name)[: 1 if only_head else None])
    return Stroke(
        target=f"{name} frozen",
        detail=f"{name} for {seconds:.1f} s",
        strike=lambda: world.signal(tree.found(), signal.SIGSTOP),
        seconds=seconds,
        heal=lambda: world.signal(tree.found(), signal.SIGCONT),
    )


def deploy(world: World, rng: random.Random) -> Stroke:
    name = rng.choice([*WORKERS, STANDBY])
    return Stroke(target=name, detail=name, strike=lambda: world.retire(name))


def fail_line(world: World, rng: random.Random) -> Stroke:
    """Cut, stall, delay, or swallow what goes one way or both."""
    line, seconds = world.lines[rng.choice([*world.lines])][rng.choice(["postgres", "redis"])], _seconds(rng)
    how = rng.choice([*LINE_FAULTS])
    return Stroke(
        target=line.name,
        detail=f"{line.name}: {how} for {seconds:.1f} s",
        strike=lambda: LINE_FAULTS[how](line),
        seconds=seconds,
        heal=line.mend,
    )


LINE_FAULTS: Final[Mapping[str, Callable[[Line], None]]] = {
    "cut": Line.cut,
    "stalled": Line.stall,
    "late": lambda line: line.delay(0.2),
    "all swallowed": lambda line: line.swallow(BOTH),
    "requests swallowed": lambda line: line.swallow([Direction.REQUESTS]),
    "answers swallowed": lambda line: line.swallow([Direction.ANSWERS]),
}


def empty_redis(world: World, rng: random.Random) -> Stroke:
    return Stroke(target="redis", detail="FLUSHALL", strike=lambda: _empty(world))


def _empty(world: World) -> None:
    with world.servers.redis.client() as client:
        client.flushall()


def restart_redis(world: World, rng: random.Random) -> Stroke:
    seconds = rng.uniform(0, 3)
    return Stroke(
        target="redis",
        detail=f"away for {seconds:.1f} s, its data lost",
        strike=world.servers.redis.kill,
        seconds=seconds,
        heal=world.servers.start_redis,
    )


def restart_postgres(world: World, rng: random.Random) -> Stroke:
    mode, seconds = rng.choice(["fast", "immediate"]), rng.choice([0.0, rng.uniform(0, 4)])
    return Stroke(
        target="postgres",
        detail=f"{mode}, away for {seconds:.1f} s",
        strike=lambda: world.servers.postgres.stop(mode),
        seconds=seconds,
        heal=world.servers.postgres.start,
    )


def step_clock(world: World, rng: random.Random) -> Stroke:
    offset = rng.choice(OFFSETS)
    return Stroke(target="clock", detail=f"to {offset:+.0f} s", strike=lambda: world.servers.clock.step(offset))


class _Lazily:
    """What is found when the fault strikes, and kept for its healing."""

    def __init__(self, find: Callable[[], list[psutil.Process]]) -> None:
        self._find = find
        self._found: list[psutil.Process] | None = None

    def found(self) -> list[psutil.Process]:
        if self._found is None:
            self._found = self._find()
        return self._found


def _one_child(world: World, name: str, rng: random.Random) -> list[psutil.Process]:
    children = world.tree(name)[1:]
    return [rng.choice(children)] if children else []


#: How often each of them is drawn.
FAULTS: Final[Mapping[str, tuple[int, Callable[[World, random.Random], Stroke]]]] = {
    "kill a child": (14, kill_child),
    "kill a supervisor": (5, kill_supervisor),
    "kill a whole worker": (5, kill_tree),
    "kill a submitter": (3, kill_submitter),
    "freeze a child": (8, freeze_child),
    "freeze a whole worker": (6, freeze_tree),
    "freeze a supervisor": (3, freeze_supervisor),
    "deploy": (6, deploy),
    "line": (22, fail_line),
    "empty Redis": (5, empty_redis),
    "restart Redis": (5, restart_redis),
    "restart PostgreSQL": (5, restart_postgres),
    "step the clock": (4, step_clock),
}
