"""One long run from its first server to its report."""

from __future__ import annotations

import time
from typing import Final

from django.db import connections

from django_jobs.models import Job
from django_jobs.statuses import TERMINAL
from lab.faults import tables
from lab.faults.drain import drain
from lab.faults.endurance import judgment, mix, report, submitter
from lab.faults.endurance.chaos import Chaos
from lab.faults.endurance.servers import Servers
from lab.faults.endurance.world import WORKERS, World
from tests.support import record, slots
from tests.support.waiting import wait_until

#: So many jobs have ended before the first fault, within so many seconds.
ENOUGH: Final = 30
WARM_UP: Final = 120.0
#: Seconds until workers left that were told to.
LEAVE: Final = 60.0


def run(servers: Servers, seconds: float, seed: int) -> list[str]:
    """Run for so long and print the report; return what is wrong."""
    mix.make_rows(lambda name: slots.handler_path(name, "lab.faults.endurance"))
    world = World(servers, seed)
    try:
        return _play(world, seconds, seed)
    finally:
        world.close()


def _play(world: World, seconds: float, seed: int) -> list[str]:
    began = time.monotonic()

    def say(text: str) -> None:
        print(f"{time.monotonic() - began:7.1f}  {text}", flush=True)

    if not world.servers.clock.is_installed:
        say("the clock is not stepped, since libfaketime is not installed")
    world.draw_lines()
    world.start_all()
    _warm_up(world)
    say("jobs run")
    chaos = Chaos(world, seed, say)
    chaos.run(seconds)
    world.stop_submitters()
    say("no more faults, and nothing more is submitted")
    connections.close_all()  # the server was restarted meanwhile
    found = drain(world.replace_dead)
    say("all jobs have ended" if not found else found[0])
    found += world.leave(LEAVE)
    return _judge(world, chaos, [*found, *world.died])


def _warm_up(world: World) -> None:
    """Wait until jobs end, and all workers have children: a process that is not there yet, no fault can hit."""
    ended = Job.primary.filter(status__in=TERMINAL)
    wait_until(lambda: ended.count() >= ENOUGH, WARM_UP, f"the end of {ENOUGH} jobs")
    wait_until(lambda: all(len(world.tree(name)) > 1 for name in WORKERS), WARM_UP, "the children of all workers")


def _judge(world: World, chaos: Chaos, found: list[str]) -> list[str]:
    evidence = judgment.Evidence(
        tables=tables.read_tables(),
        promises=list(submitter.journal(world.directory)),
        events=record.read(world.record),
        record=world.record,
    )
    found = [*found, *judgment.findings(evidence)]
    print("\n".join(["", *report.lines(evidence, chaos.counts, found)]), flush=True)
    return found
