"""What must hold for a job's Execution Log: a chain along the arrows of the machine, from nothing to its status."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from typing import Final

from django_jobs.statuses import AWAITING_RETRY, TRANSITIONS, WITH_ERRORS, ActorKind, Status
from lab.faults.tables import Change, JobRow, Tables
from tests.support.verbs import EXHAUSTED

#: Who may start a failed job over: people and server code, and the engine for a child that died with its parent.
MAY_START_OVER: Final = frozenset({ActorKind.USER, ActorKind.SYSTEM})


def findings(tables: Tables) -> Iterator[str]:
    """Yield what is wrong with the logs, and where they and the rows do not agree."""
    for pk in tables.histories.keys() - tables.jobs.keys():
        yield f"There is a log of job {pk}, which is not there."
    for job in tables.jobs.values():
        history = tables.histories.get(job.pk)
        if not history:
            yield f"Job {job.pk} has no log."
            continue
        yield from _of_chain(job, history)
        yield from _of_attempts(job, history)
        yield from _of_retries(job, history)


def _of_chain(job: JobRow, history: Sequence[Change]) -> Iterator[str]:
    first, last = history[0], history[-1]
    if (first.from_status, first.to_status) != ("", Status.PENDING):
        yield f"The log of job {job.pk} begins with {_arrow(first)}."
    if last.to_status != job.status:
        yield f"Job {job.pk} is {job.status}, and its log ends with {_arrow(last)}."
    for before, after in itertools.pairwise(history):
        if after.from_status != before.to_status:
            yield f"In the log of job {job.pk}, {_arrow(after)} follows {_arrow(before)}."
        if Status(after.to_status) not in TRANSITIONS.get(Status(after.from_status or Status.COMPLETED), frozenset()):
            yield f"Job {job.pk} went a way that is none: {_arrow(after)}."
        is_new_start = after.from_status in WITH_ERRORS and after.to_status == Status.PENDING
        if is_new_start and after.actor_kind not in MAY_START_OVER:
            yield f"Job {job.pk} was started over by {after.actor_kind}: {_arrow(after)}."
    if any(change.organization_id != job.organization_id for change in history):
        yield f"The log of job {job.pk} names another organization."


def _of_attempts(job: JobRow, history: Sequence[Change]) -> Iterator[str]:
    attempt = 0
    for change in history:
        attempt += change.to_status == Status.RUNNING
        if change.attempt != attempt:
            yield f"In the log of job {job.pk}, {_arrow(change)} has attempt {change.attempt} and not {attempt}."
        if change.to_status == Status.RUNNING and not change.worker_name:
            yield f"In the log of job {job.pk}, attempt {attempt} runs for no worker."
    if job.attempt != attempt:
        yield f"Job {job.pk} has attempt {job.attempt}, and was claimed {attempt} times."


def _of_retries(job: JobRow, history: Sequence[Change]) -> Iterator[str]:
    spent = 0
    for change in history:
        is_exhausted = change.from_status in AWAITING_RETRY and change.message.startswith(EXHAUSTED)
        if change.to_status in AWAITING_RETRY:
            spent += 1
        elif change.to_status == Status.PENDING and change.from_status in WITH_ERRORS:
            spent = 0
        elif change.to_status == Status.DEAD_LETTER and is_exhausted:
            spent -= 1  # the last failure is followed by no retry
    if job.retry_count != spent:
        yield f"Job {job.pk} has spent {job.retry_count} retries, by its log {spent}."
    if history[-1].message.startswith(EXHAUSTED) and job.retry_count < job.max_retries:
        yield f"Job {job.pk} ended after {job.retry_count} of {job.max_retries} retries."


def _arrow(change: Change) -> str:
    return f"{change.from_status or 'new'} → {change.to_status}"
