"""Reading the results of a job's parents for its handler: small ones at once, references in the place of others."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from django.db.models import TextField
from django.db.models.functions import Cast, Length

from django_jobs.engine.execution import coroutines
from django_jobs.models import Job, JobDependency
from django_jobs.models.job import format_job_id, parse_job_id
from django_jobs.statuses import Status

#: Characters of JSON that a handler gets at once, over all parents.
MAX_CHARACTERS: Final = 1_048_576


@dataclass(frozen=True, slots=True)
class ResultReference:
    """Stands for the result of a parent that does not fit beside the others."""

    job_id: str

    def load(self) -> Any:
        """Return this one result, read now; None when the job is gone. Works in async handlers too."""
        parsed = parse_job_id(self.job_id)
        return None if parsed is None else coroutines.outside_loop(lambda: _results([parsed[0]]).get(parsed[0]))


def read(child: int) -> dict[str, Any]:
    """Return the result of each parent by its job id, in the order of their submission.

    None stands for a parent that did not complete, or returned nothing. Results are taken in that order while they
    come to MAX_CHARACTERS at most; each that does not fit is a ResultReference.
    """
    links = JobDependency.primary.filter(child_id=child).order_by("parent_id")
    size = Length(Cast("parent__result", TextField()))
    rows = links.values_list("parent_id", "parent__created_at", "parent__status", size)
    found: dict[str, Any] = {}
    wanted: dict[int, str] = {}
    total = 0
    for pk, created_at, status, characters in rows:
        name = format_job_id(pk, created_at.year)
        found[name] = None
        if status != Status.COMPLETED or characters is None:
            continue
        if total + characters > MAX_CHARACTERS:
            found[name] = ResultReference(name)
            continue
        total += characters
        wanted[pk] = name
    results = _results(list(wanted))
    return found | {name: results.get(pk) for pk, name in wanted.items()}


def _results(pks: list[int]) -> dict[int, Any]:
    if not pks:
        return {}
    return dict(Job.primary.filter(pk__in=pks).order_by().values_list("pk", "result"))
