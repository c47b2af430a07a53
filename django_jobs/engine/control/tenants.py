"""What becomes of an organization's jobs when it is saved, deleted or erased."""

from __future__ import annotations

import datetime as dt
import hashlib
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Any, Final

from django.db.models import Q, QuerySet
from django.db.models.functions import MD5, Coalesce

from django_jobs.conf import jobs_settings
from django_jobs.engine.access import id_value
from django_jobs.engine.actors import SCHEDULER
from django_jobs.engine.alerts import records as alert_records
from django_jobs.engine.control.deletion import delete_rows
from django_jobs.engine.dispatch import backlog, in_flight, turns
from django_jobs.engine.execution import context
from django_jobs.engine.insight import rollups
from django_jobs.engine.json_storage import is_storable_text
from django_jobs.engine.organizations import id_of, read_tenants
from django_jobs.engine.store import database
from django_jobs.engine.store.database import store
from django_jobs.engine.store.values import NOW, Lane, Move, Terms, Walk, parts_of
from django_jobs.engine.transitions import fingerprint, move
from django_jobs.models import (
    Batch,
    ExecutionLog,
    Job,
    JobDependency,
    OrganizationActivity,
    Schedule,
    get_organization_model,
)
from django_jobs.models.job import parse_job_id
from django_jobs.statuses import TERMINAL, WAITING, Status
from django_jobs.texts import say

# What becomes of an organization's jobs when it is deleted.
#
# Deleting an organization changes no job. Its waiting jobs are found here afterwards, and end as Dead Letters.


#: Pages of lanes looked at in one call.
PAGES: Final = 4
#: Jobs ended in one call.
BATCH: Final = 500
NOT_FOUND: Final = say("Organization not found", code="organization_gone")


class OrphanWatch:
    """Looks for waiting jobs whose organization was deleted: some pages of the backlog's lanes with each call.

    Dispatch skips such lanes, so that these jobs take neither a turn nor a ticket meanwhile.
    """

    def __init__(self) -> None:
        self._walks: list[Walk] = []

    def bury(self) -> int:
        """End the orphans in the next pages, and those that have tickets; return how many ended."""
        pages = self._next_pages()
        lanes = {(walk.priority, lane) for walk, page in pages for lane in page}
        gone = _without_row({lane.organization_pk for _, lane in lanes} | _queued_organizations())
        if not gone:
            return 0
        share = max(1, BATCH // max(1, len(lanes)))
        orphans = _queued_jobs(gone)
        for walk, page in pages:
            taken = [(lane, share) for lane in page if lane.organization_pk in gone]
            orphans += [job.pk for job in store().heads(walk.priority, taken, delayed=walk.delayed)]
        # A store may have told a job twice, as one that waits and as one that waits for its moment.
        return _bury(list(dict.fromkeys(orphans))[:BATCH])

    def _next_pages(self) -> list[tuple[Walk, list[Lane]]]:
        """Return the next pages of lanes and of which walk they are. After the last page, the next call begins anew."""
        pages: list[tuple[Walk, list[Lane]]] = []
        self._walks = self._walks or _all_walks()
        while self._walks and len(pages) < PAGES:
            walk = self._walks.pop(0)
            page = [step.lane for step in store().lanes(walk, backlog.LANES_AT_ONCE)]
            pages.append((walk, page))
            if len(page) == backlog.LANES_AT_ONCE:
                self._walks.insert(0, walk._replace(last=page[-1]))
        return pages


def _all_walks() -> list[Walk]:
    """Return a walk for each priority and type of which something waits, for dispatch or for its moment."""
    return [
        Walk(priority, (job_type,), delayed=delayed)
        for delayed in (False, True)
        for priority, job_type in store().waiting_types(turns.BY_URGENCY, delayed=delayed)
    ]


def _queued_organizations() -> set[Any]:
    rows = Job.primary.filter(status=Status.QUEUED).order_by()
    return set(in_flight.read_in_flight(rows.values_list("organization_id", flat=True).distinct()))


def _without_row(organization_pks: Collection[Any]) -> set[Any]:
    if not organization_pks:
        return set()
    # Read where jobs are written: a replica may not know a new tenant yet.
    rows = database.rows(get_organization_model()).filter(pk__in=organization_pks)
    return set(organization_pks) - set(rows.values_list("pk", flat=True))


def _queued_jobs(organization_pks: Collection[Any]) -> list[int]:
    rows = Job.primary.filter(status=Status.QUEUED, organization_id__in=organization_pks)
    return list(rows.order_by("pk").values_list("pk", flat=True)[:BATCH])


def _bury(pks: list[int]) -> int:
    """End these jobs and the jobs that wait for them, all with the same reason; return how many ended."""
    descendants = _waiting_descendants(pks)
    values = {"error_message": NOT_FOUND, "error_type": "Permanent", "completed_at": NOW, "next_retry_at": None}
    values["error_fingerprint"] = fingerprint(NOT_FOUND)
    moves = [
        Move(pk=pk, to_status=Status.DEAD_LETTER, message=NOT_FOUND, values=values)
        for pk in sorted(descendants | set(pks))
    ]
    return len(move(moves, Terms(sources=WAITING, actor=SCHEDULER, skip_locked=True)))


def _waiting_descendants(pks: Iterable[int]) -> set[int]:
    """Return the waiting descendants, generation by generation, up to BATCH; the others end with their parents."""
    descendants: set[int] = set()
    parents = set(pks)
    while parents and len(descendants) < BATCH:
        links = JobDependency.primary.filter(parent_id__in=parents)
        waiting = links.filter(child__status__in=sorted(WAITING)).order_by("child_id")
        parents = set(waiting.values_list("child_id", flat=True)[:BATCH]) - descendants
        descendants |= parents
    return descendants


def organization_pks(organization_id: str) -> list[Any]:
    """Return the primary keys of the tenant with this id, and of the deleted ones whose jobs remember it.

    It must be this very id: MariaDB finds texts equal that differ in case or accents.
    """
    id_field = str(jobs_settings.ORGANIZATION_ID_FIELD)
    tenants = database.rows(get_organization_model()).filter(**{id_field: organization_id})
    matching = [
        pk for pk, name in tenants.values_list("pk", id_field) if name == organization_id or type(name) is not str
    ]
    # No index serves this: it is one pass over the table, which only the erasure of a deleted tenant needs.
    remembered = Job.primary.filter(organization_name=organization_id).order_by()
    digests = remembered.annotate(digest=MD5("organization_name")).values_list("organization_id", "digest")
    exact = hashlib.md5(organization_id.encode(), usedforsecurity=False).hexdigest()
    # A living tenant that had this id once, and has another one now, is not meant.
    gone = _without_row({pk for pk, digest in digests.distinct() if digest == exact})
    return [*matching, *sorted(gone)]


# Which tenants an id means, and what erasing one of them would delete.


ERASED_AT_ONCE = 1_000


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
class DeletionSize:
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
    key = id_value("pk", text)
    if key is None:
        return None
    (tenant,) = _describe([key])
    left = any(model.primary.filter(organization_id=key).exists() for model in (OrganizationActivity, Batch, Schedule))
    return tenant if tenant.is_living or tenant.ids or left else None


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


def _ended_jobs(pk: Any, before: dt.datetime | None) -> QuerySet[Job]:
    rows = _jobs(pk).filter(status__in=sorted(TERMINAL))
    if before is None:
        return rows
    ended = Coalesce("completed_at", "canceled_at")
    return rows.annotate(ended=ended).filter(Q(ended__isnull=True) | Q(ended__lt=before))


def erase_jobs(pk: Any, before: dt.datetime | None = None) -> int:
    """Delete the jobs that ended before this moment, or all that ended, and their counts then; return how many went."""
    count = last = 0
    rows = _ended_jobs(pk, before).order_by("pk").values_list("pk", flat=True)
    while pks := list(rows.filter(pk__gt=last)[:ERASED_AT_ONCE]):
        count += len(delete_rows(pks, ended_before=before).job_ids)
        last = pks[-1]
    if before is None:
        rollups.forget_organization(pk)
        alert_records.forget_organization(pk)
    return count


def measure(pk: Any, cutoff: dt.datetime | None) -> DeletionSize:
    """Count what would be deleted: the jobs that ended before ``cutoff``, or all that ended where it is None."""
    rows = _ended_jobs(pk, cutoff)
    count = rows.count()
    return DeletionSize(
        jobs=count,
        logs=ExecutionLog.primary.filter(job_id__in=rows.values("pk")).count(),
        files=_count_files(pk, rows),
        staying=_jobs(pk).count() - count,
    )


def _count_files(pk: Any, rows: QuerySet[Job]) -> int | None:
    """Count the files of these jobs, as the storage lists them."""
    try:
        names = context.jobs_with_files(pk)
        return sum(context.count_files(pk, name) for name in _of(rows, names))
    except Exception:  # noqa: BLE001  (the host's storage)
        return None


def _of(rows: QuerySet[Job], names: list[str]) -> list[str]:
    """Return those of the job ids that belong to the rows."""
    matching: list[str] = []
    for some in parts_of(names):
        keys = {parsed[0]: name for name in some if (parsed := parse_job_id(name))}
        matching += [keys[key] for key in rows.filter(pk__in=list(keys)).values_list("pk", flat=True)]
    return matching
