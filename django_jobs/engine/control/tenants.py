"""What becomes of an organization's jobs when it is deleted.

Deleting an organization changes no job. Its waiting jobs are found here afterwards, and end as Dead Letters.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable
from typing import Any, Final

from django.db.models.functions import MD5

from django_jobs.conf import jobs_settings
from django_jobs.engine.actors import SCHEDULER
from django_jobs.engine.dispatch import backlog, in_flight, turns
from django_jobs.engine.store import database
from django_jobs.engine.store.chosen import store
from django_jobs.engine.store.lane_values import Lane, Walk
from django_jobs.engine.transitions import NOW, Move, move
from django_jobs.engine.transitions.error_fingerprints import fingerprint
from django_jobs.models import Job, JobDependency, get_organization_model
from django_jobs.statuses import WAITING, Status
from django_jobs.texts import say

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
        found: list[tuple[Walk, list[Lane]]] = []
        self._walks = self._walks or _all_walks()
        while self._walks and len(found) < PAGES:
            walk = self._walks.pop(0)
            page = [step.lane for step in store().lanes(walk, backlog.LANES_AT_ONCE)]
            found.append((walk, page))
            if len(page) == backlog.LANES_AT_ONCE:
                self._walks.insert(0, walk._replace(last=page[-1]))
        return found


def _all_walks() -> list[Walk]:
    """Return a walk for each priority and type of which something waits, for dispatch or for its moment."""
    return [
        Walk(priority, (job_type,), delayed=delayed)
        for delayed in (False, True)
        for priority, job_type in store().waiting_types(turns.BY_URGENCY, delayed=delayed)
    ]


def _queued_organizations() -> set[Any]:
    rows = Job.primary.filter(status=Status.QUEUED).order_by()
    return set(in_flight.read(rows.values_list("organization_id", flat=True).distinct()))


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
    return len(move(moves, sources=WAITING, actor=SCHEDULER, skip_locked=True))


def _waiting_descendants(pks: Iterable[int]) -> set[int]:
    """Return the waiting descendants, generation by generation, up to BATCH; the others end with their parents."""
    found: set[int] = set()
    parents = set(pks)
    while parents and len(found) < BATCH:
        links = JobDependency.primary.filter(parent_id__in=parents)
        waiting = links.filter(child__status__in=sorted(WAITING)).order_by("child_id")
        parents = set(waiting.values_list("child_id", flat=True)[:BATCH]) - found
        found |= parents
    return found


def organization_pks(organization_id: str) -> list[Any]:
    """Return the primary keys of the tenant with this id, and of the deleted ones whose jobs remember it.

    It must be this very id: MariaDB finds texts equal that differ in case or accents.
    """
    id_field = str(jobs_settings.ORGANIZATION_ID_FIELD)
    tenants = database.rows(get_organization_model()).filter(**{id_field: organization_id})
    found = [pk for pk, name in tenants.values_list("pk", id_field) if name == organization_id or type(name) is not str]
    # No index serves this: it is one pass over the table, which only the erasure of a deleted tenant needs.
    remembered = Job.primary.filter(organization_name=organization_id).order_by()
    digests = remembered.annotate(digest=MD5("organization_name")).values_list("organization_id", "digest")
    exact = hashlib.md5(organization_id.encode(), usedforsecurity=False).hexdigest()
    # A living tenant that had this id once, and has another one now, is not meant.
    gone = _without_row({pk for pk, digest in digests.distinct() if digest == exact})
    return [*found, *sorted(gone)]
