"""Who waits for whom: beside a large backlog, by weights, by priority, and with few in flight."""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Final, NamedTuple

from django_jobs import submit_job
from django_jobs.models import Job, Organization
from django_jobs.statuses import Priority, Status
from lab.benchmarks import setting
from lab.benchmarks.flow import stage
from lab.benchmarks.flow.policy import CAP, CAPPED, WEIGHTED, weight_of
from lab.benchmarks.flow.stage import Crew, Place, Workers
from lab.benchmarks.flow.table import Table, milliseconds, percentile
from lab.benchmarks.setting import Lane
from tests.support.overlaps import Run, crowd

CREW: Final = Crew(2, 10)
KIND: Final = "work"
#: What each of A's and B's jobs takes.
NEIGHBOR_SECONDS: Final = 0.02
NEIGHBOR_CREW: Final = Crew(2, 4)
BACKLOG: Final = {False: 100_000, True: 20_000}
SINGLE_JOBS: Final = {False: 300, True: 60}
#: Seconds of each job where shares are measured: such that the machine keeps all slots busy.
SHARE_SECONDS: Final = 0.04
ORGANIZATIONS: Final = {False: 200, True: 40}
MEASURED_SECONDS: Final = {False: 60, True: 20}
WINDOW: Final = 10.0
#: Seconds until all slots work.
WARM_UP: Final = 2.0
URGENT_JOBS: Final = 80
LOW_JOBS: Final = 400


def measure(*, small: bool) -> bool:
    """Measure one after the other."""
    found = [neighbor(small=small), shares(small=small), priorities()]
    return all(found)


def neighbor(*, small: bool) -> bool:
    """Compare how long one organization's jobs wait on an idle system, and beside another's backlog."""
    table = Table(f"neighbor: B's jobs one by one, beside A's backlog of {BACKLOG[small]:,} jobs of 20 ms")
    waits = {}
    for words, backlog in (("idle", 0), ("beside A", BACKLOG[small])):
        stage.reset({KIND: {}})
        large, single = stage.organizations(2)
        with stage.workers(NEIGHBOR_CREW) as workers:
            if backlog:
                setting.insert_waiting([Lane(KIND, large, backlog, parameters={"seconds": NEIGHBOR_SECONDS})])
            stage.begin()
            time.sleep(WARM_UP)
            waits[words] = list(_waits(workers, single, SINGLE_JOBS[small]))
            busy = _busy(workers.runs(), NEIGHBOR_CREW)
        if backlog:
            table.say(f"{words}: slots busy", f"{busy:.1%}")
        for part, name in ((0.5, "p50"), (0.95, "p95")):
            more = percentile(waits[words], part) - percentile(waits["idle"], part)
            told = (f"+ {milliseconds(more)}", "<= + 40 ms", more <= 2 * NEIGHBOR_SECONDS) if backlog else ("",)
            table.say(f"{words}: B waits, {name}", milliseconds(percentile(waits[words], part)))
            if backlog:
                table.say(f"{words}: more than idle, {name}", *told)
    return table.is_exact


def _waits(workers: Workers, organization: Organization, jobs: int) -> Iterator[float]:
    """Submit jobs one by one, and yield the seconds until the handler of each began."""
    draw = random.Random(jobs)
    submitted = {}
    for number in range(jobs):
        before = time.monotonic()
        job = submit_job(KIND, organization, {"seconds": NEIGHBOR_SECONDS, "number": number})
        submitted[job.pk] = before
        while Job.objects.values_list("status", flat=True).get(pk=job.pk) != Status.COMPLETED:
            time.sleep(0.005)
        time.sleep(draw.uniform(0, 2 * NEIGHBOR_SECONDS))
    began = {run.pk: run.began for run in reversed(workers.runs())}
    yield from (began[pk] - before for pk, before in submitted.items())


def shares(*, small: bool) -> bool:
    """Compare what organizations with random backlogs and weights get with what is due to them."""
    count, seconds = ORGANIZATIONS[small], MEASURED_SECONDS[small]
    stage.reset({KIND: {}})
    names = stage.organizations(count, WEIGHTED)
    capped = stage.organizations(1, CAPPED)[0]
    backlogs = _backlogs(names, seconds)
    lanes = [Lane(KIND, one, backlogs[one.name], parameters={"seconds": SHARE_SECONDS}) for one in names]
    setting.insert_waiting([*lanes, Lane(KIND, capped, 10_000, parameters={"seconds": SHARE_SECONDS})])
    with stage.workers(CREW) as workers:
        stage.begin()
        time.sleep(WARM_UP + seconds)
        until = time.monotonic()
        runs = workers.runs()
    places = stage.places()
    table = Table(f"shares: {count} organizations, random backlogs and weights, {CREW.slots} slots, {seconds} s")
    _tell_shares(table, runs, places, backlogs, until)
    most = crowd([run for run in runs if places[run.pk].organization == capped.name], CAP)
    table.guarantee("most at once with in_flight_limit", f"{most.most}", f"<= {CAP}", holds=not most.excess)
    return table.is_exact


def _backlogs(organizations: Sequence[Organization], seconds: float) -> dict[str, int]:
    """Draw a backlog for each, of between a half and four times what is due to it: some are soon done."""
    draw = random.Random(len(organizations))
    weights = {one.name: weight_of(one.name) for one in organizations}
    jobs = CREW.slots / SHARE_SECONDS * (seconds + WARM_UP) / sum(weights.values())
    return {name: int(weight * jobs * draw.uniform(0.5, 4)) for name, weight in weights.items()}


class Deviation(NamedTuple):
    """What an organization got in a window beside its due: of that, and beyond the one job more or less."""

    part: float
    beyond_one: float


def _tell_shares(
    table: Table, runs: Sequence[Run], places: Mapping[int, Place], backlogs: Mapping[str, int], until: float
) -> None:
    first = runs[0].began + WARM_UP
    own = [run for run in runs if places[run.pk].organization in backlogs and run.began >= first]
    done = _done_at(runs, places, backlogs)
    found: list[Deviation] = []
    for second in range(int(until - first - WINDOW) + 1):
        found += _deviations(own, places, done, first + second)
    if not found:
        table.findings(["Nobody had a backlog for a whole window."])
        return
    parts, beyond = [item.part for item in found], [item.beyond_one for item in found]
    table.say("organizations that ended their backlogs", f"{len(done)} of {len(backlogs)}")
    table.say("off its due over 10 s, p95", f"{percentile(parts, 0.95):.1%}", "<= 10 %", percentile(parts, 0.95) <= 0.1)
    table.say("off its due over 10 s, worst", f"{max(parts):.1%}", "<= 10 %", max(parts) <= 0.1)
    table.say("    beyond one job more or less, worst", f"{max(beyond):.1%}", "<= 10 %", max(beyond) <= 0.1)
    part = _busy([run for run in runs if run.began >= first], CREW)
    table.say("slots busy", f"{part:.1%}", ">= 95 %", part >= 0.95)
    table.say("jobs a second", f"{len(own) / (until - first):,.0f}")


def _busy(runs: Sequence[Run], crew: Crew) -> float:
    """Return which part of the time of all slots handlers ran, from the first beginning to the last."""
    return sum(run.seconds for run in runs) / (crew.slots * (runs[-1].began - runs[0].began))


def _done_at(runs: Sequence[Run], places: Mapping[int, Place], backlogs: Mapping[str, int]) -> dict[str, float]:
    """Return when the last job of an organization began, of those whose jobs all have."""
    begun: Counter[str] = Counter()
    found = {}
    for run in runs:
        name = places[run.pk].organization
        begun[name] += 1
        if begun[name] == backlogs.get(name):
            found[name] = run.began
    return found


def _deviations(
    runs: Sequence[Run], places: Mapping[int, Place], done: Mapping[str, float], start: float
) -> Iterator[Deviation]:
    """Yield what each got in a window, of those that had work for all of it: they share what these got together."""
    end = start + WINDOW
    got = Counter(places[run.pk].organization for run in runs if start <= run.began < end)
    names = {place.organization for place in places.values() if place.organization.startswith(WEIGHTED)}
    waiting = [name for name in names if done.get(name, end) >= end]
    total = sum(got[name] for name in waiting)
    weights = sum(map(weight_of, waiting))
    for name in waiting if total else ():
        due = total * weight_of(name) / weights
        off = abs(got[name] - due)
        yield Deviation(off / due, max(0.0, off - 1) / due)


def priorities() -> bool:
    """Count the Low jobs of others that begin while Critical jobs of one organization wait."""
    stage.reset({KIND: {}})
    *others, urgent = stage.organizations(10)
    low = {"seconds": SHARE_SECONDS}
    setting.insert_waiting([Lane(KIND, one, LOW_JOBS, priority=Priority.LOW, parameters=low) for one in others])
    with stage.workers(CREW) as workers:
        stage.begin()
        time.sleep(WARM_UP)
        moment = time.monotonic()
        setting.insert_waiting([Lane(KIND, urgent, URGENT_JOBS, priority=Priority.CRITICAL, parameters=low)])
        submit_job(KIND, urgent, low, priority=Priority.CRITICAL)  # it wakes the dispatcher
        time.sleep(WARM_UP)
        runs = workers.runs()
    places = stage.places()
    begun = [run.began for run in runs if places[run.pk].priority == Priority.CRITICAL]
    table = Table(f"priorities: {len(begun)} Critical jobs of one organization, Low ones of nine, {CREW.slots} slots")
    if len(begun) <= URGENT_JOBS:
        table.findings([f"Of {URGENT_JOBS + 1} Critical jobs {len(begun)} began within {WARM_UP:g} s."])
        return table.is_exact
    passed = [run for run in runs if moment <= run.began < max(begun) and places[run.pk].priority == Priority.LOW]
    table.say("the first Critical one began after", milliseconds(min(begun) - moment))
    table.say("the last Critical one began after", milliseconds(max(begun) - moment))
    target = CREW.slots * 2
    table.say("Low jobs that began meanwhile", f"{len(passed)}", f"<= {target}", len(passed) <= target)
    return table.is_exact
