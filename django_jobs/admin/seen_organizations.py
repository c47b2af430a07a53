"""The organizations whose jobs a request's user may see, read once for the request.

The lists name them one by one: the database then sees how few they are when it chooses an index.
"""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest

from django_jobs.engine.insight.newest_jobs import MAX_ORGANIZATIONS
from django_jobs.engine.lookup import visible_organizations
from django_jobs.models import Job
from django_jobs.models.job import JobQuerySet


def organizations_of(request: HttpRequest) -> list[Any] | None:
    """Return their primary keys; None for all organizations."""
    known = request.__dict__
    if "djobs_organizations" not in known:
        known["djobs_organizations"] = visible_organizations(None, request.user)
    found: list[Any] | None = known["djobs_organizations"]
    return found


def jobs_seen_by(request: HttpRequest) -> JobQuerySet:
    """Return the jobs that the user may know of."""
    organizations = organizations_of(request)
    rows: JobQuerySet = Job.primary.all()
    if organizations is None:
        return rows
    if len(organizations) > MAX_ORGANIZATIONS:
        return rows.visible_to(request.user)
    return rows.filter(organization_id__in=organizations)
