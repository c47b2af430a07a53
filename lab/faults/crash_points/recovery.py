"""What happens after a crash: a scheduler and a worker that know nothing of it, on a clock that has moved on."""

from __future__ import annotations

import datetime as dt
import functools
from collections.abc import Callable, Collection
from typing import Final

from django.db import connection

from django_jobs.models import BatchChange, Breaker, DependencyTask, EngineLease, FileDeletion, Job, Operation
from django_jobs.statuses import AWAITING_RETRY, UNFINISHED, Status
from tests.support import verbs
from tests.support.attempts import FreeRunner
from tests.support.own_redis import forget_the_broker
from tests.support.ticks import WholeScheduler
from tests.support.tuning import forget_everything
from tests.support.verbs import Consumer
from tests.support.waiting import wait_until

WORKER: Final = "the-next-worker"
#: So many rounds of scheduler and worker are more than any crash needs.
ROUNDS: Final = 8
TICKETS: Final = 50


#: The duties that bring jobs on; the others only tidy up, and would take most of the time.
NEEDED: Final = (
    "reissue_tickets",
    "dispatch",
    "rescue_expired",
    "expire",
    "follow_up",
    "bury_orphans",
    "operate",
    "delete_files",
)


class PatientScheduler(WholeScheduler):
    """A scheduler that has been at work for longer than a lease lasts, with all of its duties or only with some."""

    def __init__(self, name: str, only: Collection[str] = ()) -> None:
        super().__init__(name)
        self._only = only

    def is_steady(self) -> bool:
        return True

    def _duties(self) -> dict[str, Callable[[], int]]:
        return {name: duty for name, duty in super()._duties().items() if not self._only or name in self._only}


def recover(duties: Collection[str] = ()) -> None:
    """Do what processes that are started anew do, until nothing is left to do."""
    wait_until(_is_alone, 60, "the end of the dead process's connections")
    forget_everything()
    verbs.check_broker()
    scheduler = PatientScheduler("the-next-scheduler", {*NEEDED, *duties})
    for _ in range(ROUNDS):
        _let_time_pass()
        scheduler.tick()
        work_off()
        if _is_quiet():
            return


def _is_alone() -> bool:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid() "
            "AND backend_type = 'client backend'"
        )
        return bool(cursor.fetchone()[0] == 0)


def _let_time_pass() -> None:
    """Let leases run out and what waits for a moment come due."""
    now = verbs.now()
    past = now - dt.timedelta(seconds=1)
    Job.objects.filter(status=Status.RUNNING).update(lease_expires_at=past)
    Job.objects.filter(ready_at__gt=now).update(ready_at=now)
    Job.objects.filter(status__in=AWAITING_RETRY, next_retry_at__gt=now).update(next_retry_at=now)
    EngineLease.objects.filter(expires_at__gt=past).update(expires_at=past)
    Breaker.objects.filter(next_try_at__gt=past).update(next_try_at=past)


@functools.cache
def _consumer() -> Consumer:
    return verbs.get_broker().consumer(WORKER)


def work_off() -> None:
    """Run everything that has a ticket."""
    while taken := _consumer().take_now(TICKETS).tickets:
        claimed = verbs.claim(taken, WORKER)
        verbs.settle_all([verbs.run(item, verbs.context_for(item, FreeRunner())) for item in claimed], WORKER)


def _is_quiet() -> bool:
    left = (
        Job.objects.filter(status__in=UNFINISHED),
        DependencyTask.objects.all(),
        FileDeletion.objects.all(),
        BatchChange.objects.all(),
        Operation.objects.filter(state=Operation.State.RUNNING),
    )
    return not any(rows.exists() for rows in left)


def forget_the_last_case() -> None:
    forget_everything()
    forget_the_broker()
    _consumer.cache_clear()
