"""What reading and acting cost with a long history, beside a short one. Prints times; asserts nothing.

    createdb scale
    export DATABASE_URL=postgres://postgres@127.0.0.1/scale REDIS_URL=redis://127.0.0.1:6379/9
    export DJANGO_SETTINGS_MODULE=lab.benchmarks.settings
    python -m django migrate
    python -m lab.benchmarks.scale [--large 10000000 --organizations 10000]
    python -m lab.benchmarks.scale backlog [--large 1000000]

It fills the database twice (two minutes for a million) and compares: a short history with a long one, or a short
backlog with a long one behind the same history. No ratio is given where one has fewer rows to show, or had to be asked
fewer questions. ``fill`` and ``measure`` do the parts. The broker is one in memory.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple

import django

from tests.support import verbs
from tests.support.brokers import MemoryBroker
from tests.support.verbs import SYSTEM

django.setup()

from django.db import connection, transaction

from django_jobs import cancel_job, get_job_history, get_job_metrics, get_job_status, list_jobs, retry_job, submit_job
from django_jobs.engine.submission import same_work
from django_jobs.models import Job, JobType, Organization
from django_jobs.statuses import Priority, Status
from lab.benchmarks import history
from lab.benchmarks.pages import admin_pages
from tests.support.plans import Plan, explained
from tests.support.verbs import Move, Returned, Ticket

TIMES: Final = 15
SET: Final = 100
LARGE, SMALL = "SCALE-0000", "SCALE-0005"
COMMON_TYPE, RARE_TYPE, UNUSED_TYPE = "type_00", "type_49", "type_unused"


class Figures(NamedTuple):
    """What one case cost: milliseconds at the median, statements; the rows that it showed; what the scans of its
    statements visited: rows, and pages of tables and indexes.
    """

    milliseconds: float
    statements: int
    rows: int
    visited: int
    pages: int

    def __str__(self) -> str:
        return f"{self.statements:3} {self.rows:3} {self.visited:6,} {self.pages:6,}"

    def ratio_to(self, other: Figures) -> str:
        """How many times as long as the other, if that did the same."""
        if (self.statements, self.rows) != (other.statements, other.rows):
            return "-"
        return f"{self.milliseconds / other.milliseconds:.2f}"


class Stage(NamedTuple):
    """What a database is filled with: jobs, the organizations that share them (0: one for 1,000), jobs that wait."""

    jobs: int
    organizations: int = 0
    backlog: int = 0


class Case:
    """Something to measure; ``prepare`` makes its argument, which is not timed; ``undo`` rolls it back."""

    def __init__(
        self, act: Callable[..., Any], prepare: Callable[[], Any] | None = None, *, undo: bool = False
    ) -> None:
        self.act = act
        self.prepare = prepare
        self.undo = undo
        self.statements = self.rows = 0
        self.plans: list[Plan] = []

    def measure(self) -> Figures:
        times = [self._once() for _ in range(TIMES)]
        self.statements = 0
        self._once(self._counted)
        self._once(self._explained)
        visited, pages = (sum(map(cost, self.plans)) for cost in (Plan.visited, Plan.pages))
        return Figures(statistics.median(times) * 1_000, self.statements, self.rows, visited, pages)

    def _explained(self, *arguments: Any) -> None:
        with explained(["custom"]) as self.plans:
            self.act(*arguments)

    def _counted(self, *arguments: Any) -> None:
        def count(execute: Callable[..., Any], *args: Any) -> Any:
            self.statements += 1
            return execute(*args)

        with connection.execute_wrapper(count):
            found = self.act(*arguments)
        self.rows = len(found) if isinstance(found, list) else 0

    def _once(self, act: Callable[..., Any] | None = None) -> float:
        if not self.undo:
            return self._timed(act or self.act)
        with transaction.atomic():
            seconds = self._timed(act or self.act)
            transaction.set_rollback(True)
        return seconds

    def _timed(self, act: Callable[..., Any]) -> float:
        arguments = () if self.prepare is None else (self.prepare(),)
        started = time.perf_counter()
        act(*arguments)
        return time.perf_counter() - started


def page(**filters: Any) -> Case:
    """The first page of what a filter leaves, with all that is told of each job."""
    return Case(lambda: verbs.describe_jobs(list(Job.objects.filter(**filters).order_by("-pk")[:20])))


def count(**filters: Any) -> Case:
    return Case(lambda: verbs.capped_count(Job.objects.filter(**filters)))


def between(days_ago: float, days: float, **filters: Any) -> Case:
    def look() -> list[Any]:
        start = verbs.now() - (days_ago * history.DAY)
        rows = verbs.created_between(Job.objects.filter(**filters), start, start + days * history.DAY)
        return verbs.describe_jobs(list(rows.order_by("-pk")[:20]))

    return Case(look)


def empty_broker() -> None:
    verbs.use_broker(MemoryBroker())


def full_broker() -> None:
    broker = MemoryBroker()
    broker.push([Ticket(number, 2026, 1, int(Priority.CRITICAL)) for number in range(SET)])
    verbs.use_broker(broker)


def room() -> None:
    """A broker without tickets, and no job that has one."""
    empty_broker()
    verbs.unqueue(Job.objects.filter(status=Status.QUEUED).values_list("pk", flat=True), "")


def newest(status: str, **filters: Any) -> Job:
    return Job.objects.filter(status=status, **filters).order_by("-pk")[0]


def tickets() -> list[Ticket]:
    jobs = Job.objects.filter(status=Status.PENDING, ready_at__isnull=False).order_by("-pk")[:SET]
    moves = [Move(pk=job.pk, to_status=Status.QUEUED, values=verbs.QUEUED) for job in jobs]
    moved = verbs.move(moves, verbs.Terms(sources=[Status.PENDING], actor=SYSTEM))
    return [Ticket(item.pk, item.year, item.attempt + 1, item.priority) for item in moved]


def ended() -> list[Returned]:
    return [Returned(claimed=item, result=None, started=time.monotonic()) for item in verbs.claim(tickets(), "scale")]


def cases() -> dict[str, Case]:
    """Everything that is measured, by what is printed for it."""
    large, small = Organization.objects.get(name=LARGE).pk, Organization.objects.get(name=SMALL).pk
    kind = JobType.objects.get(pk=COMMON_TYPE)
    kind.rate_limit, kind.rate_limit_window = 1_000, 60
    total = Job.objects.count()
    middle, offset = Job.objects.order_by("pk")[total // 2], min(10_000, total - 20)
    return {
        "submit, broker full": Case(lambda _: submit_job(COMMON_TYPE, SMALL, {"a": 1}), full_broker),
        "submit, broker empty": Case(lambda _: submit_job(COMMON_TYPE, SMALL, {"a": 1}), empty_broker),
        "rate limit look-up": Case(lambda: same_work._seconds_until_free(kind, large, 1)),
        "waiting of one organization": Case(lambda: verbs.count_waiting(large, 10_000)),
        "status": Case(lambda: get_job_status(middle.name)),
        "history": Case(lambda: get_job_history(middle.name)),
        "page": Case(list_jobs),
        "page large": page(organization=large),
        "page large Completed": page(organization=large, status="Completed"),
        "page large Pending": page(organization=large, status="Pending"),
        "page large Running": page(organization=large, status="Running"),
        "page large Dead Letter": page(organization=large, status="Dead Letter"),
        "page large Canceled": page(organization=large, status="Canceled"),
        "page small Completed": page(organization=small, status="Completed"),
        "page small Pending": page(organization=small, status="Pending"),
        "page small Dead Letter": page(organization=small, status="Dead Letter"),
        "page large common type": page(organization=large, job_type=COMMON_TYPE),
        "page large rare type": page(organization=large, job_type=RARE_TYPE),
        "page large unused type": page(organization=large, job_type=UNUSED_TYPE),
        "page small rare type": page(organization=small, job_type=RARE_TYPE),
        "page Completed": page(status="Completed"),
        "page Completed common type": page(status="Completed", job_type=COMMON_TYPE),
        "page Completed rare type": page(status="Completed", job_type=RARE_TYPE),
        "page Pending rare type": page(status="Pending", job_type=RARE_TYPE),
        "page Pending unused type": page(status="Pending", job_type=UNUSED_TYPE),
        "page Dead Letter rare type": page(status="Dead Letter", job_type=RARE_TYPE),
        "page two statuses rare type": page(status__in=["Dead Letter", "Failed"], job_type=RARE_TYPE),
        "page Critical Completed": page(priority=Priority.CRITICAL, status="Completed"),
        "page Critical Dead Letter": page(priority=Priority.CRITICAL, status="Dead Letter"),
        "page Critical Pending": page(priority=Priority.CRITICAL, status="Pending"),
        "page owner Completed": page(owner_name="scale-7", status="Completed"),
        "page owner Dead Letter": page(owner_name="scale-7", status="Dead Letter"),
        "page nobody Completed": page(owner_name="nobody", status="Completed"),
        "page large owner": page(organization=large, owner_name="scale-7"),
        "page created 20 days ago": between(20, 1),
        "page large created 20 days ago": between(20, 1, organization=large),
        "page created 20 days ago Dead": between(20, 1, status="Dead Letter"),
        "offset 10,000": Case(lambda: list_jobs(offset=offset)),
        "offset 10,000 Completed": Case(lambda: list_jobs(status="Completed", offset=9_000)),
        "count all": count(),
        "count large": count(organization=large),
        "count large Completed": count(organization=large, status="Completed"),
        "count large Dead Letter": count(organization=large, status="Dead Letter"),
        "count large rare type": count(organization=large, job_type=RARE_TYPE),
        "count Completed rare type": count(status="Completed", job_type=RARE_TYPE),
        "count Pending": count(status="Pending"),
        "count Critical Completed": count(priority=Priority.CRITICAL, status="Completed"),
        "count owner Completed": count(owner_name="scale-7", status="Completed"),
        "metrics large": Case(lambda: get_job_metrics(LARGE)),
        "metrics small": Case(lambda: get_job_metrics(SMALL)),
        "metrics all": Case(get_job_metrics),
        "retry by hand": Case(retry_job, lambda: newest("Dead Letter"), undo=True),
        "cancel": Case(cancel_job, lambda: newest("Pending"), undo=True),
        f"dispatch {SET}": Case(lambda _: verbs.dispatch(), room, undo=True),
        f"claim {SET}": Case(lambda found: verbs.claim(found, "scale"), tickets, undo=True),
        f"settle {SET}": Case(lambda items: verbs.settle(items, "scale"), ended, undo=True),
        **{what: Case(ask) for what, ask in admin_pages().items()},
    }


def measure(name: str = "") -> dict[str, Figures]:
    """Every case whose name holds ``name``."""
    verbs.use_broker(MemoryBroker())
    verbs.announce_worker("scale", verbs.broker_queue_names(), slots=SET)
    return {what: case.measure() for what, case in cases().items() if name in what}


def compare(stages: Sequence[Stage], name: str) -> None:
    """Each case on one stage, and on another."""
    columns = []
    for stage in stages:
        began = time.monotonic()
        history.fill(*stage)
        print(f"{stage} filled in {time.monotonic() - began:,.0f} s", flush=True)
        columns.append(measure(name))
    sizes = "".join(f"{stage.jobs + stage.backlog:>12,}" for stage in stages)
    print(f"{'':34}{sizes}   ratio  statements, rows shown, rows and pages visited")
    for what, first in columns[0].items():
        found = [column[what] for column in columns]
        times = "".join(f"{item.milliseconds:>9.2f} ms" for item in found)
        rest = " / ".join(map(str, found))
        print(f"{what:34}{times}{found[-1].ratio_to(first):>8}  {rest}")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m lab.benchmarks.scale")
    parser.add_argument("what", nargs="?", choices=["compare", "backlog", "fill", "measure"], default="compare")
    parser.add_argument("--small", type=int, default=10_000, help="jobs of the short history, or of both")
    parser.add_argument("--large", type=int, default=1_000_000, help="jobs of the long history, or of the long backlog")
    parser.add_argument("--organizations", type=int, default=0, help="of the large one; else one for 1,000 jobs")
    parser.add_argument("--only", default="", help="the cases whose names hold this")
    return parser.parse_args()


def main() -> None:
    options = _options()
    large = Stage(options.large, options.organizations)
    match options.what:
        case "fill":
            history.fill(*large)
        case "measure":
            for what, figures in measure(options.only).items():
                print(f"{what:34}{figures.milliseconds:9.2f} ms {figures}")
        case "backlog":
            backlogs = (1_000, options.large)
            compare([Stage(options.small, options.organizations, waiting) for waiting in backlogs], options.only)
        case _:
            compare([Stage(options.small), large], options.only)


if __name__ == "__main__":
    main()
