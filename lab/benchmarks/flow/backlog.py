"""What dispatch costs with a million waiting jobs: without limits, and with those of half of the lanes reached."""

from __future__ import annotations

import datetime as dt
import itertools
from collections.abc import Iterator, Mapping
from typing import Any, Final, NamedTuple

from django.db import connection
from django.db.models import Q

from django_jobs import submit_job
from django_jobs.models import Job, JobType, Organization
from django_jobs.statuses import Status
from lab.benchmarks import engine, history, scale, setting
from lab.benchmarks.flow import stage
from lab.benchmarks.flow.table import Table
from lab.benchmarks.setting import Lane
from tests.support import verbs

WAITING: Final = {False: 1_000_000, True: 50_000}
ORGANIZATIONS: Final = {False: 1_000, True: 100}
DRAINED: Final = {False: 20_000, True: 4_000}
BLOCKED_ORGANIZATIONS: Final = {False: 10_000, True: 1_000}
BLOCKED_JOBS: Final = 10
KEYS: Final = 200
#: Each organization has jobs of so many of the keys.
KEYS_AN_ORGANIZATION: Final = 5
#: Jobs that are submitted to measure one submission.
SET: Final = 100
DAY: Final = dt.timedelta(days=1)
MOST_TIMES: Final = 1.5
#: What costs nothing, within the noise of a machine.
NOTHING_MORE: Final = 1.1

PLAIN, BLOCKED = "plain", "blocked"
#: The limits that are reached: of the first and the last type by all organizations, of the others by half of the lanes.
LIMITS: Final[Mapping[str, Mapping[str, Any]]] = {
    PLAIN: {},
    "total": {"max_running": 1},
    "tenant": {"max_running_per_organization": 1},
    "keyed": {"concurrency_key": "account", "max_running_per_key": 1},
    "started": {"max_starts": 1, "max_starts_window": 30 * 24 * 3600},
}
NO_LIMITS: Final = {
    "max_running": None,
    "max_running_per_organization": None,
    "concurrency_key": "",
    "max_starts": None,
}
#: The worker of the jobs that reach the limits.
ELSEWHERE: Final = "elsewhere"
_FULL_TENANTS: Final = Job.objects.filter(job_type="tenant", worker_name=ELSEWHERE).values("organization")
#: Jobs that must not start, since others of their lanes run; of the last type those that started first count.
FULL: Final = {
    "total": (Q(), 0),
    "tenant": (Q(organization__in=_FULL_TENANTS), 0),
    "keyed": (Q(lane_key__in=range(1, KEYS + 1, 2)), 0),
    "started": (Q(), 1),
}


class Costs(NamedTuple):
    """Milliseconds and statements of a pass of the dispatcher and of a submission."""

    dispatch: scale.Figures
    submit: scale.Figures


def measure(*, small: bool) -> bool:
    """Compare the same backlog without limits and with them, and then with and without a type that is blocked."""
    table = Table(f"backlog: {WAITING[small]:,} jobs wait, of {ORGANIZATIONS[small]:,} organizations and {KEYS} keys")
    rates, passes = {}, {}
    for words, limit in (("without limits", False), ("half of the lanes full", True)):
        fill(small=small)
        if limit:
            set_limits()
        rates[words] = engine.rate_of(DRAINED[small], threads=10)
        table.say(f"{words}: drain of {DRAINED[small]:,}", f"{rates[words]:,.0f} jobs/s")
        if limit:
            _tell_passed(table)
        analyze()
        passes[words] = costs()
        _tell_costs(table, words, passes[words])
    free, full = passes.values()
    _tell_ratio(table, "a pass, times that without limits", full.dispatch, free.dispatch, MOST_TIMES)
    _tell_ratio(table, "a submission, times that without limits", full.submit, free.submit, MOST_TIMES)
    first, second = rates.values()
    times = first / second
    table.say("drain, times the time without limits", f"{times:.2f}", f"<= {MOST_TIMES}", times <= MOST_TIMES)
    blocked(table, small=small)
    return table.is_exact


def blocked(table: Table, *, small: bool) -> None:
    """Say what a type costs the others that has been full for an hour in very many organizations."""
    fill(small=small)
    before = costs()
    JobType.objects.create(pk=BLOCKED, handler_method=f"{stage.HANDLERS}.nothing", max_running=1)
    others = stage.organizations(BLOCKED_ORGANIZATIONS[small], "BLOCKED")
    setting.insert_waiting(Lane(BLOCKED, one, BLOCKED_JOBS) for one in others)
    Job.objects.filter(job_type=BLOCKED).update(ready_at=verbs.now() - dt.timedelta(hours=1))
    run_now([Lane(BLOCKED, others[0], 1)])
    analyze()
    after = costs()
    words = f"a type blocked in {len(others):,} organizations"
    _tell_costs(table, f"without {words}", before)
    _tell_costs(table, f"with {words}", after)
    _tell_ratio(table, "a pass, times that without it", after.dispatch, before.dispatch, NOTHING_MORE)
    _tell_ratio(table, "a submission, times that without it", after.submit, before.submit, NOTHING_MORE)


def fill(*, small: bool) -> None:
    """Write the backlog, and the jobs that run for ever and reach the limits once there are some."""
    stage.reset({kind: {} for kind in LIMITS}, handler="nothing", is_paused=False)
    others = stage.organizations(ORGANIZATIONS[small])
    jobs = WAITING[small] // (len(others) * len(LIMITS))
    with history.without_indexes(Job):
        for first in range(0, len(others), 100):
            numbers = range(first, first + 100)
            setting.insert_waiting(
                itertools.chain.from_iterable(_lanes(number, others[number], jobs) for number in numbers)
            )
    run_now([*_running(others)])
    analyze()


def _lanes(number: int, organization: Organization, jobs: int) -> Iterator[Lane]:
    """Yield an organization's lanes; of the type with keys one for each of its keys."""
    for kind in LIMITS:
        if kind == "keyed":
            for key in _keys(number):
                yield _keyed(organization, key, jobs // KEYS_AN_ORGANIZATION)
        else:
            yield Lane(kind, organization, jobs)


def _keys(number: int) -> Iterator[int]:
    return (1 + (number * KEYS_AN_ORGANIZATION + offset) % KEYS for offset in range(KEYS_AN_ORGANIZATION))


def _keyed(organization: Organization, key: int, jobs: int) -> Lane:
    """Return the lane of a key. Any number tells it from others, since none of its jobs is ever submitted."""
    return Lane("keyed", organization, jobs, parameters={"account": f"account {key}"}, lane_key=key)


def _running(others: list[Organization]) -> Iterator[Lane]:
    yield from (Lane(kind, others[0], 1) for kind in ("total", "started"))
    yield from (Lane("tenant", one, 1) for one in others[::2])
    yield from (_keyed(one, key, 1) for number, one in enumerate(others) for key in _keys(number) if key % 2)


def run_now(lanes: list[Lane]) -> None:
    """Write jobs that a worker seems to run; their leases last longer than this."""
    newest = Job.objects.order_by("-pk").values_list("pk", flat=True).first() or 0
    setting.insert_waiting(lanes)
    now = verbs.now()
    values = {"attempt": 1, "begun_attempt": 1, "worker_name": ELSEWHERE, "lease_expires_at": now + DAY}
    Job.objects.filter(pk__gt=newest).update(
        status=Status.RUNNING, ready_at=None, queued_at=now, started_at=now, **values
    )


def set_limits() -> None:
    for kind, fields in LIMITS.items():
        JobType.objects.filter(pk=kind).update(**(NO_LIMITS | dict(fields)))


def analyze() -> None:
    with connection.cursor() as cursor:
        cursor.execute(f"VACUUM ANALYZE {Job._meta.db_table}")


def costs() -> Costs:
    """Measure a pass and a submission, with a broker in memory."""
    verbs.announce_worker("flow", verbs.broker_queue_names(), slots=SET)
    try:
        organization = Organization.objects.filter(name__startswith="FLOW-").order_by("name")[1].name
        dispatch = scale.Case(lambda _: verbs.dispatch(), scale.room, undo=True).measure()
        submit = scale.Case(lambda _: submit_job(PLAIN, organization), scale.empty_broker).measure()
    finally:
        verbs.withdraw_worker("flow")
        verbs.use_broker(None)
    return Costs(dispatch, submit)


def _tell_passed(table: Table) -> None:
    """Say how many jobs ran of lanes that were full."""
    for kind, (condition, most) in FULL.items():
        count = Job.objects.filter(condition, job_type=kind, status=Status.COMPLETED).count()
        table.guarantee(f"{kind}: ran though its lanes were full", f"{count:,}", f"<= {most}", holds=count <= most)


def _tell_costs(table: Table, words: str, found: Costs) -> None:
    table.say(f"{words}: a pass", f"{found.dispatch.milliseconds:,.1f} ms")
    table.say("    statements; rows and pages that they visit", _seen(found.dispatch))
    table.say(f"{words}: a submission", f"{found.submit.milliseconds:,.1f} ms")
    table.say("    statements; rows and pages that they visit", _seen(found.submit))


def _seen(figures: scale.Figures) -> str:
    return f"{figures.statements}; {figures.visited:,}; {figures.pages:,}"


def _tell_ratio(table: Table, what: str, first: scale.Figures, second: scale.Figures, most: float) -> None:
    ratio = first.milliseconds / second.milliseconds
    table.say(what, f"{ratio:.2f}", f"<= {most}", ratio <= most)
