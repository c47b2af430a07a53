"""Which tenants an id means, and what erasing one of them would delete."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import Any

from django.core.exceptions import ValidationError
from django.db.models import Q, QuerySet
from django.db.models.functions import Coalesce

from django_jobs.engine.control.tenants import organization_pks
from django_jobs.engine.execution import outputs
from django_jobs.engine.json_storage import is_storable_text
from django_jobs.engine.store.organization_ids import id_of, read_tenants
from django_jobs.models import Batch, ExecutionLog, Job, OrganizationActivity, Schedule, get_organization_model
from django_jobs.models.job import parse_job_id
from django_jobs.statuses import TERMINAL

CHUNK = 500
#: No database holds such a key.
LARGEST = 2**63


@dataclass(frozen=True, slots=True, kw_only=True)
class Meant:
    """A tenant that may be erased. ``ids`` is the id of a living one, or what the jobs of a deleted one remember."""

    pk: Any
    ids: list[str]
    title: str
    is_living: bool

    def __str__(self) -> str:
        name = " alias ".join(self.ids) or "a tenant without jobs"
        title = f', "{self.title}"' if self.title and self.title not in self.ids else ""
        return f"{name} ({'living' if self.is_living else 'deleted'} organization{title}, key {self.pk})"


@dataclass(frozen=True, slots=True, kw_only=True)
class CappedCount:
    """How much would be deleted, and how many jobs stay. ``files`` is None where the storage cannot say."""

    jobs: int
    logs: int
    files: int | None
    staying: int

    def __str__(self) -> str:
        files = "an unknown number of files" if self.files is None else _count(self.files, "file")
        rows = _count(self.logs, "row")
        return f"{_count(self.jobs, 'ended job')}, {rows} of their history and {files}; {self.staying:,} stay"


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def meant_by_id(organization_id: str) -> list[Meant]:
    """Return the tenant that has this id now, and the deleted ones whose jobs remember it."""
    return _describe(organization_pks(organization_id)) if is_storable_text(organization_id) else []


def meant_by_key(text: str) -> Meant | None:
    """Return the tenant with this primary key, living or deleted; None where nothing of such a tenant is left."""
    pk = get_organization_model()._meta.pk
    try:
        key = pk.to_python(text)
    except (ValidationError, ValueError, TypeError):
        return None
    if not is_storable_text(text) or (isinstance(key, int) and abs(key) >= LARGEST):
        return None
    (found,) = _describe([key])
    left = any(model.primary.filter(organization_id=key).exists() for model in (OrganizationActivity, Batch, Schedule))
    return found if found.is_living or found.ids or left else None


def _describe(pks: list[Any]) -> list[Meant]:
    living = read_tenants(pks)
    return [
        Meant(
            pk=pk,
            ids=[id_of(living[pk])] if pk in living else _remembered(pk),
            title=str(living[pk]) if pk in living else "",
            is_living=pk in living,
        )
        for pk in pks
    ]


def _remembered(pk: Any) -> list[str]:
    return sorted(_jobs(pk).values_list("organization_name", flat=True).distinct())


def _jobs(pk: Any) -> QuerySet[Job]:
    return Job.primary.filter(organization_id=pk).order_by()


def measure(pk: Any, cutoff: dt.datetime | None) -> CappedCount:
    """Count what would be deleted: the jobs that ended before ``cutoff``, or all that ended where it is None."""
    rows = _jobs(pk).filter(status__in=sorted(TERMINAL))
    if cutoff is not None:
        ended = Coalesce("completed_at", "canceled_at")
        rows = rows.annotate(ended=ended).filter(Q(ended__isnull=True) | Q(ended__lt=cutoff))
    count = rows.count()
    return CappedCount(
        jobs=count,
        logs=ExecutionLog.primary.filter(job_id__in=rows.values("pk")).count(),
        files=_count_files(pk, rows),
        staying=_jobs(pk).count() - count,
    )


def _count_files(pk: Any, rows: QuerySet[Job]) -> int | None:
    """Count the files of these jobs, as the storage lists them."""
    try:
        names = outputs.jobs_with_files(pk)
        return sum(outputs.count_files(pk, name) for name in _of(rows, names))
    except Exception:  # noqa: BLE001  (the host's storage)
        return None


def _of(rows: QuerySet[Job], names: list[str]) -> list[str]:
    """Return those of the job ids that belong to the rows."""
    found: list[str] = []
    for start in range(0, len(names), CHUNK):
        keys = {parsed[0]: name for name in names[start : start + CHUNK] if (parsed := parse_job_id(name))}
        found += [keys[key] for key in rows.filter(pk__in=list(keys)).values_list("pk", flat=True)]
    return found
