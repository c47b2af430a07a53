"""What the members of ``run_processes`` do; arguments and answers are JSON."""

from __future__ import annotations

import datetime as dt
import os
import random
import signal

from django_jobs import cancel_job, retry_job, schedule_job, submit_job, submit_jobs
from django_jobs.engine.schedules import firing
from django_jobs.exceptions import DuplicateJob, InvalidTransition
from django_jobs.models import Job
from django_jobs.statuses import RETRYABLE_BY_HAND, WAITING, Status
from tests.support import verbs
from tests.support.brokers import MemoryBroker
from tests.support.verbs import Ticket, outcomes

SET = 20


def submit_each(kind: str, organization: str, numbers: list[int], seed: int) -> list[tuple[int, int, bool]]:
    """Submit the work of each number, in an order of one's own: (number, job, whether it was accepted)."""
    verbs.use_broker(MemoryBroker(is_down=True))
    random.Random(seed).shuffle(numbers)
    told = []
    for number in numbers:
        try:
            told.append((number, submit_job(kind, organization, {"number": number}).pk, True))
        except DuplicateJob as error:
            told.append((number, error.existing.pk, False))
    return told


def submit_lists(kind: str, organization: str, numbers: list[int], seed: int) -> list[tuple[int, int, bool]]:
    """The same in one list, without what others turn out to have, until all of it is somebody's."""
    verbs.use_broker(MemoryBroker(is_down=True))
    random.Random(seed).shuffle(numbers)
    told = []
    while numbers:
        items = [
            {"job_type": kind, "organization": organization, "parameters": {"number": number}} for number in numbers
        ]
        try:
            jobs = submit_jobs(items)
        except DuplicateJob as error:
            told.append((numbers.pop(error.index), error.existing.pk, False))
        else:
            return told + [(number, job.pk, True) for number, job in zip(numbers, jobs, strict=True)]
    return told


def work(name: str, rounds: int, seed: int) -> int:
    """Claim sets of whatever is queued and settle them in every way; how many attempts this process has ended."""
    verbs.use_broker(MemoryBroker())
    chance = random.Random(seed)
    ended = 0
    for _ in range(rounds):
        rows = Job.objects.filter(status=Status.QUEUED).values_list("pk", "created_at", "attempt", "priority")
        tickets = [Ticket(pk, made.year, attempt + 1, priority) for pk, made, attempt, priority in rows[: 3 * SET]]
        claimed = verbs.claim(chance.sample(tickets, min(SET, len(tickets))), name)
        verbs.settle_all([_end(item, chance) for item in claimed], name)
        ended += len(claimed)
    return ended


def _end(claimed: object, chance: random.Random) -> outcomes.Outcome:
    match chance.randrange(4):
        case 0:
            return outcomes.Returned(claimed=claimed, result={"by": "a process"})  # type: ignore[arg-type]
        case 1:
            return outcomes.Raised(claimed=claimed, kind="Transient", text="failed", retry_after=0.0)  # type: ignore[arg-type]
        case 2:
            return outcomes.Interrupted(claimed=claimed, text="interrupted")  # type: ignore[arg-type]
    return outcomes.Postponed(claimed=claimed, delay=0.0, text="later")  # type: ignore[arg-type]


def look_after(names: list[str], rounds: int, seed: int) -> int:
    """Dispatch, renew and requeue, as schedulers and supervisors do; how many leases were renewed."""
    verbs.use_broker(MemoryBroker())
    renewed = 0
    for _ in range(rounds):
        verbs.dispatch_patiently()
        renewed += len(verbs.renew_leases(names))
    return renewed


def interfere(rounds: int, seed: int) -> int:
    """Cancel and retry by hand what one comes across; how often that was accepted."""
    verbs.use_broker(MemoryBroker(is_down=True))
    chance = random.Random(seed)
    accepted = 0
    for _ in range(rounds):
        verb, statuses = chance.choice([(cancel_job, WAITING), (retry_job, RETRYABLE_BY_HAND)])
        for job in Job.objects.filter(status__in=sorted(statuses)).order_by("?")[:2]:
            try:
                verb(job)
            except InvalidTransition:
                continue
            accepted += 1
    return accepted


def fire(now: str) -> int:
    """Fire what is due at this moment; how many firings there were."""
    verbs.use_broker(MemoryBroker(is_down=True))
    return len(verbs.fire(dt.datetime.fromisoformat(now)))


def make_schedule(kind: str, organization: str, seed: int) -> int:
    """Make a schedule, or change it to an interval of one's own; its key."""
    return int(schedule_job("nightly", kind, organization, every=60 + seed).pk)


def die_before_the_mark(now: str) -> None:
    """Fire, and be killed when the job is inserted and the schedule not marked yet."""
    verbs.use_broker(MemoryBroker(is_down=True))

    def die(*args: object) -> None:
        assert Job.objects.exists()
        os.kill(os.getpid(), signal.SIGKILL)

    firing._write = die  # type: ignore[assignment]
    verbs.fire(dt.datetime.fromisoformat(now))
