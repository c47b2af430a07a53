"""What failed in a batch, in groups of like errors, so that a person sees the few faults behind many failed jobs."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import Final

from django_jobs.models import Job
from django_jobs.statuses import AWAITING_RETRY, WITH_ERRORS

#: Failed jobs that are looked at, the oldest first, and groups that are shown.
MAX_LOOKED_AT: Final = 1_000
MAX_GROUPS: Final = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchFailure:
    """Jobs of one type with like errors; ``first`` is the one that was submitted first.

    ``is_consequence`` says that they died because a job that they waited for did, and ``is_retried`` that they are not
    dead but will be tried again by themselves.
    """

    first: Job
    count: int
    is_consequence: bool
    is_retried: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchFailures:
    """The groups: causes before consequences, the dead before what is tried again, the largest first.

    With ``is_cut`` more jobs failed than were looked at, and a group may be larger than it says.
    """

    groups: list[BatchFailure]
    more_groups: int
    is_cut: bool


def read_failures(batch_pk: int) -> BatchFailures:
    """Return what failed of a batch and was not retried, by two statements."""
    rows = Job.primary.filter(batch_id=batch_pk, status__in=sorted(WITH_ERRORS)).order_by("pk")
    found = list(
        rows.values_list("pk", "job_type_id", "error_fingerprint", "is_orphaned", "status")[: MAX_LOOKED_AT + 1]
    )
    groups: dict[tuple[bool, bool, str, str], list[int]] = defaultdict(list)
    for pk, job_type, fingerprint, is_orphaned, status in found[:MAX_LOOKED_AT]:
        key = (is_orphaned, status in AWAITING_RETRY, job_type, "" if is_orphaned else fingerprint)
        groups[key].append(pk)
    ordered = sorted(groups.items(), key=lambda item: (*item[0][:2], -len(item[1]), item[1][0]))
    shown = ordered[:MAX_GROUPS]
    fields = ("created_at", "job_type_id", "status", "error_message", "organization_id", "owner_id")
    samples = Job.primary.only(*fields).in_bulk([pks[0] for _, pks in shown]) if shown else {}
    return BatchFailures(
        groups=[
            BatchFailure(first=samples[pks[0]], count=len(pks), is_consequence=is_orphaned, is_retried=is_retried)
            for (is_orphaned, is_retried, *_), pks in shown
            if pks[0] in samples
        ],
        more_groups=len(ordered) - len(shown),
        is_cut=len(found) > MAX_LOOKED_AT,
    )
