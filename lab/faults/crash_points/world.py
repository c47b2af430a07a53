"""The tenants and job types of the scenarios, and the states from which these begin."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator
from typing import Any, Final

from django.conf import settings
from django.contrib.auth.models import User
from django.db import connection
from django.db.models import AutoField
from redis import Redis

from django_jobs import submit_job
from django_jobs.exceptions import BrokerUnavailable
from django_jobs.models import (
    AttemptLog,
    Batch,
    BatchChange,
    Breaker,
    DependencyTask,
    DuplicateKey,
    EngineLease,
    ExecutionLog,
    FileDeletion,
    Job,
    JobCheckpoint,
    JobDependency,
    JobStep,
    JobType,
    Operation,
    Organization,
    OrganizationActivity,
    Schedule,
    ScheduledJob,
    ScheduleFiring,
    TypeActivity,
    Worker,
)
from django_jobs.statuses import Priority
from lab.faults.crash_points.recovery import forget_the_last_case
from tests.support import verbs
from tests.support.brokers import MemoryBroker, reread, returned, start
from tests.support.factories import make_job_type, make_organization, make_system_admin
from tests.support.record import RETURNED, note
from tests.support.verbs import MIN_WINDOW, Claimed, QueueLook, Returned, Ticket

#: Types by their handlers; ``once`` refuses equal work.
PLAIN, ONCE, SAVING, NESTING, PAUSED, MISSING = "plain", "once", "saving", "nesting", "paused", "missing"
IN_STEPS: Final = "in_steps"
#: Types with limits and a rate, and with a breaker.
LIMITED, GUARDED = "limited", "guarded"
ORGANIZATIONS: Final = ("ORG-A", "ORG-B")
#: The worker that dies.
VICTIM: Final = "the-victim"
#: Keys begin here.
FIRST_KEY: Final = 10**9
#: What a case leaves behind.
EMPTIED: Final = (
    Breaker,
    BatchChange,
    Batch,
    ExecutionLog,
    JobStep,
    JobCheckpoint,
    AttemptLog,
    JobDependency,
    DependencyTask,
    DuplicateKey,
    FileDeletion,
    Operation,
    Worker,
    EngineLease,
    OrganizationActivity,
    TypeActivity,
    ScheduleFiring,
    ScheduledJob,
    Schedule,
    Job,
)


class FullBroker(MemoryBroker):
    """Never has room, so that submitting dispatches nothing."""

    def failed_just_now(self) -> bool:
        return True

    def look(self) -> QueueLook:
        raise BrokerUnavailable("it is full")


def make_world() -> None:
    """Make what all cases of a scenario share."""
    _give_large_keys()
    for name in ORGANIZATIONS:
        make_organization(name=name)
    handlers = {PLAIN: "work", ONCE: "work", SAVING: "save", NESTING: "submit_another", PAUSED: "work"}
    handlers |= {IN_STEPS: "in_steps", LIMITED: "work", GUARDED: "work"}
    for name, handler in handlers.items():
        make_job_type(
            type_name=name, handler_method=f"tests.support.recorded_handlers.{handler}", max_retries=2, retry_delay=1
        )
    JobType.objects.filter(pk=ONCE).update(deduplication_window=300)
    limits = {"max_running": 1, "max_running_per_organization": 1, "max_starts": 1000, "max_starts_window": 1}
    JobType.objects.filter(pk=LIMITED).update(**limits)
    JobType.objects.filter(pk=GUARDED).update(breaker_failures=1, breaker_pause=1)
    make_job_type(type_name=MISSING, handler_method="tests.support.recorded_handlers.work")
    JobType.objects.filter(pk=MISSING).update(handler_method="tests.support.recorded_handlers.of_a_newer_release")
    make_system_admin("admin")


def _give_large_keys() -> None:
    """Give what a case makes keys that no other number is like."""
    with connection.cursor() as cursor:
        for model in EMPTIED:
            if isinstance(model._meta.pk, AutoField):
                column = [model._meta.db_table, model._meta.pk.column]
                cursor.execute(
                    "SELECT setval(name, greatest(nextval(name), %s)) FROM pg_get_serial_sequence(%s, %s) AS name",
                    [FIRST_KEY, *column],
                )


def begin_anew(redis: Redis) -> None:
    """Leave nothing of the case before but the tenants and types, as they were made."""
    quote = connection.ops.quote_name
    with connection.cursor() as cursor:
        cursor.execute("; ".join(f"DELETE FROM {quote(model._meta.db_table)}" for model in EMPTIED))
    JobType.objects.filter(pk=PAUSED).update(is_paused=False)
    Organization.objects.update(is_active=True)
    shutil.rmtree(settings.MEDIA_ROOT, ignore_errors=True)
    redis.flushdb()
    forget_the_last_case()
    verbs.check_broker()


@contextlib.contextmanager
def nothing_dispatched() -> Iterator[None]:
    with verbs.broker_in_place(FullBroker()):
        yield


def submitted(job_type: str = PLAIN, organization: str = "ORG-A", **fields: Any) -> Job:
    """A job that waits for the dispatcher."""
    with nothing_dispatched():
        return submit_job(job_type, organization, **fields)


def queued(job_type: str = PLAIN, organization: str = "ORG-A", **fields: Any) -> Job:
    """A job with a ticket at Redis."""
    return reread(submit_job(job_type, organization, **fields))


def running(job_type: str = PLAIN, worker: str = VICTIM, **fields: Any) -> Claimed:
    """An attempt that a worker has claimed and that runs nowhere."""
    return start(submitted(job_type, **fields), worker)


def ran(item: Claimed) -> Returned:
    """The outcome of an attempt whose handler returned, and left the record of it."""
    note("begin", item)
    note("end", item, RETURNED)
    return returned(item)


def admin() -> User:
    return User.objects.get(username="admin")


def fill_the_broker() -> None:
    """Leave no room at Redis, by tickets that are void."""
    verbs.get_broker().push([Ticket(number, 2026, 1, int(Priority.CRITICAL)) for number in range(1, MIN_WINDOW + 1)])


def files_of_nobody() -> list[str]:
    """The folders of files whose jobs are gone."""
    ids = [name for pk in Organization.objects.values_list("pk", flat=True) for name in verbs.jobs_with_files(pk)]
    there = {job.name for job in Job.objects.all()}
    return [f"The files of {name} are there, and the job is not." for name in ids if name not in there]


def status(pk: int) -> str | None:
    """The status of a job; None where there is none."""
    return Job.objects.filter(pk=pk).values_list("status", flat=True).first()
