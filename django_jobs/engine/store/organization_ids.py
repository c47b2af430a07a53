"""The ids that tenants have now. A job refers to its tenant by primary key; its row keeps the id of the submission.

A tenant may be renamed, and another one may take its name. So the id in a job's row is shown only when the tenant is
gone, and it never identifies a tenant.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any, Final

from django_jobs.conf import jobs_settings
from django_jobs.engine import timing
from django_jobs.engine.memory import Memory
from django_jobs.engine.store import database
from django_jobs.models import Job, get_organization_model


def id_of(tenant: Any) -> str:
    """Return the id of a tenant whose row was just read."""
    return str(getattr(tenant, str(jobs_settings.ORGANIZATION_ID_FIELD)))


def read_tenants(pks: Collection[Any]) -> dict[Any, Any]:
    """Return the tenants with these primary keys, by key, read in one statement. Deleted ones are missing."""
    if not pks:
        return {}
    # Where jobs are written, since a replica may not know a new tenant yet.
    rows = database.rows(get_organization_model()).filter(pk__in=set(pks))
    return {tenant.pk: tenant for tenant in rows}


def current_ids(pks: Collection[Any]) -> dict[Any, str]:
    """Return the id that each of these tenants has now, by primary key, in one statement. Deleted ones are missing."""
    return {pk: id_of(tenant) for pk, tenant in read_tenants(pks).items()}


def mark(jobs: Iterable[Job]) -> None:
    """Note on each of these jobs the id that its tenant has now, for :func:`shown_id`, by one statement."""
    rows = list(jobs)
    ids = current_ids({job.organization_id for job in rows})
    for job in rows:
        job.__dict__["_organization_now"] = ids.get(job.organization_id)


def shown_id(job: Job) -> str:
    """Return the id that the job's tenant has now; for a deleted tenant, the id in the job's row.

    Call :func:`mark` first for many jobs; a single one is marked here.
    """
    return job.organization_name if is_gone(job) else str(job.__dict__["_organization_now"])


def is_gone(job: Job) -> bool:
    """Return whether the job's tenant was deleted."""
    if "_organization_now" not in job.__dict__:
        mark([job])
    return job.__dict__["_organization_now"] is None


#: Of a deleted tenant the id is empty.
_recent: Final[Memory[tuple[str, Any], str]] = Memory(10_000)


def recent_ids(remembered: Mapping[Any, str]) -> dict[Any, str]:
    """Return the ids that these tenants had within ORGANIZATION_ID_SECONDS, by primary key; else those that are given.

    Each process asks for a tenant once a second at most, however many jobs it has.
    """
    alias = database.alias()
    ids_now = {pk: _recent.fresh((alias, pk)) for pk in remembered}
    old = [pk for pk, name in ids_now.items() if name is None]
    if old:
        try:
            ids: dict[Any, str] = current_ids(old)
        except Exception:  # noqa: BLE001  (the host's manager; the line is worth more than the name in it)
            ids = {}
        for pk in old:
            ids_now[pk] = _recent.put((alias, pk), ids.get(pk, ""), timing.ORGANIZATION_ID_SECONDS)
    return {pk: ids_now[pk] or name for pk, name in remembered.items()}
