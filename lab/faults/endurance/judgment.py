"""What the jobs of the long run promise beyond the auditor's invariants: each ends where its kind must end."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from django.core.files.storage import storages

from django_jobs.models import Job
from django_jobs.statuses import UNFINISHED, UNSUCCESSFUL, RunAfter, Status
from lab.faults import audit
from lab.faults.endurance.mix import KINDS
from lab.faults.endurance.submitter import Promise
from lab.faults.runs import LEASE_LOST
from lab.faults.tables import Change, JobRow, Tables
from tests.support.record import RETURNED, Event
from tests.support.verbs import EXPIRED


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """What is there when all is over."""

    tables: Tables
    promises: Sequence[Promise]
    events: Sequence[Event]
    record: Path


def findings(evidence: Evidence) -> Iterator[str]:
    """Yield what is wrong, in sentences."""
    submitted = {promise.pk for promise in evidence.promises if promise.what == "submitted"}
    yield from audit.audit(at_rest=True, submitted=submitted, record=evidence.record, may_repeat=True)
    yield from _wrong_ends(evidence)
    yield from _forgotten_cancels(evidence)
    yield from _doubles(evidence)
    yield from _impatient_children(evidence)
    yield from _results(evidence)


def _wrong_ends(evidence: Evidence) -> Iterator[str]:
    canceled = {promise.pk for promise in evidence.promises if promise.what == "canceled"}
    for job in evidence.tables.jobs.values():
        last = evidence.tables.histories[job.pk][-1]
        is_right = job.status in {KINDS[job.job_type_id].end} | UNFINISHED
        if is_right or (job.status == Status.CANCELED and job.pk in canceled):
            continue
        if _is_explained(job, last, evidence):
            continue
        yield f"{job.job_type_id} job {job.pk} ended as {job.status}: {last.message!r}."


def _is_explained(job: JobRow, last: Change, evidence: Evidence) -> bool:
    if last.message == EXPIRED:
        return True
    parents = [evidence.tables.jobs[pk] for pk in evidence.tables.parents.get(job.pk, ())]
    if job.run_after == RunAfter.COMPLETED and any(parent.status in UNSUCCESSFUL for parent in parents):
        return True
    # A cancel whose answer was lost is in no journal.
    return job.status == Status.CANCELED and bool(job.canceled_by)


def _forgotten_cancels(evidence: Evidence) -> Iterator[str]:
    for promise in evidence.promises:
        job = evidence.tables.jobs.get(promise.pk)
        if promise.what == "canceled" and job and job.status not in {Status.CANCELED, Status.COMPLETED} | UNFINISHED:
            yield f"The cancel of job {job.pk} was acknowledged, and it ended as {job.status}."


def _doubles(evidence: Evidence) -> Iterator[str]:
    """Yield work that was there twice at the end: of one unique key, or of one handler that submitted it."""
    jobs = evidence.tables.jobs
    unique = {jobs[promise.pk].job_hash for promise in evidence.promises if promise.key and promise.pk in jobs}
    living: dict[Any, list[int]] = defaultdict(list)
    for pk, job in sorted(jobs.items()):
        if job.status not in UNSUCCESSFUL and job.job_hash in unique:
            earlier = living[job.job_hash]
            living[job.job_hash] = [pk] if _has_taken_over(pk, earlier, evidence) else [*earlier, pk]
    rows = Job.primary.filter(submitted_by_id__isnull=False).exclude(status__in=sorted(UNSUCCESSFUL))
    for pk, parent, work in rows.values_list("pk", "submitted_by_id", "job_hash"):
        # Of two attempts that run at once, neither is the later one: the one that lost its lease may go on.
        if not any(LEASE_LOST in change.message for change in evidence.tables.histories.get(parent or 0, ())):
            living[parent, work].append(pk)
    for key, pks in living.items():
        if len(pks) > 1:
            yield f"Jobs {pks} are the same work ({key})."


def _has_taken_over(pk: int, earlier: Sequence[int], evidence: Evidence) -> bool:
    """Return whether a job is a change of the same work, all of which workers had claimed before."""
    histories = evidence.tables.histories
    hows = {promise.how for promise in evidence.promises if promise.pk == pk and promise.key} or {"replace"}

    def was_claimed(other: int) -> bool:
        claims = [change.id for change in histories[other] if change.to_status == Status.RUNNING]
        return min(claims, default=math.inf) < histories[pk][0].id

    return "replace" in hows and all(was_claimed(other) for other in earlier)


def _impatient_children(evidence: Evidence) -> Iterator[str]:
    """Yield children that began before their parents had returned, by the order of the handlers' own record."""
    begun: dict[int, int] = {}
    returned: dict[tuple[int, int], int] = {}
    for place, event in enumerate(evidence.events):
        if event.what == "begin":
            begun.setdefault(event.pk, place)
        elif event.how == RETURNED:
            returned[event.pk, event.attempt] = place
    for child, parents in evidence.tables.parents.items():
        if child not in begun or evidence.tables.jobs[child].run_after != RunAfter.COMPLETED:
            continue
        for parent in parents:
            end = returned.get((parent, evidence.tables.jobs[parent].attempt))
            if end is None or end > begun[child]:
                yield f"Job {child} began before its parent {parent} had returned."


def _results(evidence: Evidence) -> Iterator[str]:
    """Yield results that are not those of the attempt that completed, and outputs that are not there."""
    rows = Job.primary.filter(status=Status.COMPLETED)
    for pk, attempt, result, reference in rows.values_list("pk", "attempt", "result", "output_reference"):
        if (result or {}).get("attempt") != attempt:
            yield f"The result of job {pk} is not that of attempt {attempt}: {result}."
        if reference and not _says(reference, attempt):
            yield f"The output of job {pk}, {reference}, is not that of attempt {attempt}."
        if missing := [name for name in (result or {}).get("children", ()) if not _exists(name)]:
            yield f"Job {pk} submitted jobs that are not there: {missing}."


def _says(reference: str, attempt: int) -> bool:
    storage = storages["default"]
    if not storage.exists(reference):
        return False
    with storage.open(reference) as file:
        return bool(file.read().decode().split()[-1] == str(attempt))


def _exists(name: str) -> bool:
    return Job.primary.filter(pk=int(name.rpartition("-")[2])).exists()


def lost_leases(tables: Tables) -> Iterable[tuple[int, int]]:
    """The attempts (job, attempt) that ended because nobody renewed their leases."""
    for pk, history in tables.histories.items():
        for change in history:
            if change.from_status == Status.RUNNING and LEASE_LOST in change.message:
                yield pk, change.attempt
