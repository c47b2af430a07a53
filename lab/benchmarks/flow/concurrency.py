"""Whether never one too many runs at once, with children that die, and how near the makespan is to the ideal."""

from __future__ import annotations

import random
import statistics
from collections.abc import Hashable, Iterator, Sequence
from typing import Any, Final, NamedTuple

from django_jobs.conf import DEFAULT_POOL
from lab.benchmarks.flow import ideal, stage
from lab.benchmarks.flow.ideal import Buckets, Item, Loss
from lab.benchmarks.flow.settings import SECOND_POOL
from lab.benchmarks.flow.stage import Crew, Place, Workers
from lab.benchmarks.flow.table import Table, milliseconds, percentile
from lab.faults.drain import drain
from tests.support.overlaps import Run, grouped, waits_for_freed_places, worst_crowd

JOBS: Final = {False: 20_000, True: 2_000}
PROCESSES: Final = 4
THREADS: Final = 10
ORGANIZATIONS: Final = 10
KEYS: Final = 50
KILL_SECONDS: Final = 5.0
#: Seconds that a job runs: as likely any between these.
SECONDS: Final = (0.1, 1.1)


class Kind(NamedTuple):
    """A type: its pool and limits, and how many of its jobs may run at once in all."""

    pool: str
    at_once: int
    fields: dict[str, Any]
    keys: range = range(0)


HALF: Final = KEYS // 2
KEYED: Final = {"concurrency_key": "account", "max_running_per_key": 1}
KINDS: Final = {
    "total": Kind(DEFAULT_POOL, 10, {"max_running": 10}),
    "tenant": Kind(DEFAULT_POOL, 2 * ORGANIZATIONS, {"max_running_per_organization": 2}),
    "keyed": Kind(SECOND_POOL, HALF, KEYED, range(HALF)),
    "all": Kind(
        SECOND_POOL, 12, {"max_running": 12, "max_running_per_organization": 2, **KEYED}, range(HALF, KEYS)
    ),
}  # fmt: skip


class Planned(NamedTuple):
    """A job before it is submitted."""

    place: Place
    seconds: float

    def item(self) -> Item:
        turn = (self.place.kind, self.place.organization)  # a type's places are shared by organizations
        return Item(self.seconds, KINDS[self.place.kind].pool, buckets(self.place), turn)


def buckets(place: Place) -> Buckets:
    """Return what a job of this place is counted with, and the limits."""
    found: list[tuple[Hashable, int]] = []
    fields = KINDS[place.kind].fields
    if "max_running" in fields:
        found.append((place.kind, fields["max_running"]))
    if "max_running_per_organization" in fields:
        found.append(((place.kind, place.organization), fields["max_running_per_organization"]))
    if "concurrency_key" in fields:
        found.append(((place.kind, place.organization, place.key), fields["max_running_per_key"]))
    return tuple(found)


def measure(*, small: bool) -> bool:
    """Run the jobs, and audit what the handlers wrote down."""
    # A job whose worker is killed twice waits by its back-off, which is not what is measured here.
    stage.reset({name: {"pool": kind.pool, "retry_delay": 0, **kind.fields} for name, kind in KINDS.items()})
    names = [organization.name for organization in stage.organizations(ORGANIZATIONS)]
    planned = list(plan(JOBS[small], names))
    stage.submit(
        stage.Item(place.kind, place.organization, {"account": place.key, "seconds": seconds})
        for place, seconds in planned
    )
    crews = [Crew(PROCESSES, THREADS, pool) for pool in (DEFAULT_POOL, SECOND_POOL)]
    with stage.workers(*crews) as workers:
        stage.begin()
        with workers.killing(KILL_SECONDS):
            left = drain()
        runs = workers.runs()
    table = Table(f"concurrency: {JOBS[small]:,} jobs, 2 pools x {PROCESSES} processes x {THREADS} threads")
    table.findings(left)
    places = stage.places()
    audit(table, runs, places)
    foreign = sum(workers.pools.get(run.pid) != KINDS[places[run.pk].kind].pool for run in runs)
    table.guarantee("runs by a worker of another pool", f"{foreign:,}", "0", holds=not foreign)
    tell_makespan(table, [job.item() for job in planned], runs, workers)
    return table.is_exact


def plan(count: int, names: Sequence[str]) -> Iterator[Planned]:
    """Draw jobs, of each type as many as keep its limits busy for as long as those of the others."""
    draw = random.Random(count)
    weights = [kind.at_once for kind in KINDS.values()]
    for name in draw.choices(list(KINDS), weights, k=count):
        number = draw.choice(KINDS[name].keys or range(ORGANIZATIONS))
        key = f"account {number}" if KINDS[name].keys else ""
        yield Planned(Place(name, names[number % ORGANIZATIONS], key, 1), round(draw.uniform(*SECONDS), 4))


def audit(table: Table, runs: Sequence[Run], places: dict[int, Place]) -> None:
    """Say how many ran at once by each limit of each type, and how long freed places waited."""
    for name, kind in KINDS.items():
        own = [run for run in runs if places[run.pk].kind == name]
        for number, (_, limit) in enumerate(buckets(Place(name, "", "", 1))):

            def bucket(run: Run, number: int = number) -> Hashable:
                return buckets(places[run.pk])[number][0]

            found = worst_crowd(own, bucket, limit)
            what = [name for name in kind.fields if name.startswith("max_")][number]
            table.guarantee(f"{name}: most at once, {what}", f"{found.most}", f"<= {limit}", holds=not found.excess)
            if found.excess:
                table.say("    began while the limit was reached", f"{found.excess:,}")
        if table.is_exact and len(buckets(Place(name, "", "", 1))) == 1:
            tell_waits(table, name, own, places)


def tell_waits(table: Table, name: str, runs: Sequence[Run], places: dict[int, Place]) -> None:
    limit = buckets(Place(name, "", "", 1))[0][1]
    members = grouped(runs, lambda run: buckets(places[run.pk])[0][0]).values()
    waits = [wait for group in members for wait in waits_for_freed_places(group, limit)]
    if waits:
        table.say(f"{name}: a freed place waits, median", milliseconds(statistics.median(waits)))
        table.say(f"{name}: a freed place waits, p95", milliseconds(percentile(waits, 0.95)))


def tell_makespan(table: Table, items: Sequence[Item], runs: Sequence[Run], workers: Workers) -> None:
    first, last = min(run.began for run in runs), max(run.ended for run in runs)
    pools = dict.fromkeys((DEFAULT_POOL, SECOND_POOL), PROCESSES)
    losses = list(_losses(runs, workers, first))
    took = last - first
    table.say("children killed; attempts that died with them", f"{len(losses)}; {sum(not run.how for run in runs)}")
    table.say("makespan, measured", f"{took:.1f} s")
    bound = ideal.least(items, dict.fromkeys(pools, PROCESSES * THREADS))
    table.say("what no schedule goes below", f"{bound:.1f} s")
    ideals: tuple[tuple[str, Sequence[Loss], bool], ...] = (
        ("without kills", [], False),
        ("with the same kills", losses, False),
        ("the same, organizations in turn", losses, True),
    )
    for words, known, is_fair in ideals:
        seconds = ideal.makespan(items, pools, THREADS, known, is_fair=is_fair)
        is_near = seconds / took >= 0.95
        table.say(f"ideal {words}", f"{seconds:.1f} s")
        table.say(f"ideal {words} / measured", f"{seconds / took:.1%}", ">= 95 %", is_near and table.is_exact)


def _losses(runs: Sequence[Run], workers: Workers, first: float) -> Iterator[Loss]:
    """Yield the kills; a process is absent until one begins its first job that was not seen before."""
    news: dict[int, float] = {}
    for run in runs:
        news.setdefault(run.pid, run.began)
    for kill in workers.kills:
        later = [began - kill.at for began in news.values() if began > kill.at]
        yield Loss(max(0.0, kill.at - first), kill.pool, min(later, default=0.0))
