"""The organizations whose jobs a request's user may see, and the types of these, asked once for the request.

The lists name organizations one by one: the database then sees how few they are when it chooses an index.
"""

from __future__ import annotations

from functools import cached_property
from typing import Any

from django.db.models import OuterRef, Q, QuerySet, Subquery
from django.http import HttpRequest
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext

from django_jobs.admin.formatting import line
from django_jobs.engine.access import get_policy, organizations_seen_by, visible_organizations
from django_jobs.engine.insight.search import MAX_ORGANIZATIONS
from django_jobs.engine.store import database
from django_jobs.engine.store.organization_ids import is_gone, shown_id
from django_jobs.engine.submission.targets import submittable
from django_jobs.models import Job, JobType, get_organization_model
from django_jobs.models.job import JobQuerySet


class Seen:
    """What a user may see, by the access policy, which is asked once for each answer. It is good for one request."""

    def __init__(self, user: Any) -> None:
        self.user = user

    @cached_property
    def is_system_admin(self) -> bool:
        """Return whether the user manages the jobs of every organization."""
        return get_policy().is_system_admin(self.user)

    @cached_property
    def organizations(self) -> list[Any] | None:
        """Return the primary keys of the organizations whose jobs the user may see; None for all organizations."""
        return visible_organizations(None, self.user)

    @cached_property
    def tenants(self) -> QuerySet[Any]:
        """Return these organizations, to be narrowed."""
        found = organizations_seen_by(self.user)
        return database.rows(get_organization_model()) if found is None else found

    @cached_property
    def types(self) -> QuerySet[JobType]:
        """Return the types of these organizations' jobs, and those that the user may submit; all for system admins."""
        rows = JobType.primary.all()
        if self.organizations is None:
            return rows
        # A scalar, which PostgreSQL asks for each type by an index. Of EXISTS it makes a hash of all their jobs.
        own_jobs = Job.primary.filter(job_type=OuterRef("pk"), organization_id__in=self.organizations)
        names = [kind.pk for kind in submittable(self.user, rows.filter(is_enabled=True))]
        return rows.alias(own_job=Subquery(own_jobs.order_by().values("pk")[:1])).filter(
            Q(pk__in=names) | Q(own_job__isnull=False)
        )


def seen_by(request: HttpRequest) -> Seen:
    """Return what the request's user may see."""
    known = request.__dict__
    found = known.get("djobs_seen")
    if not isinstance(found, Seen) or found.user is not request.user:
        found = known["djobs_seen"] = Seen(request.user)
    return found


def organizations_of(request: HttpRequest) -> list[Any] | None:
    """Return the primary keys of the organizations whose jobs the user may see; None for all organizations."""
    return seen_by(request).organizations


def jobs_seen_by(request: HttpRequest) -> JobQuerySet:
    """Return the jobs that the user may know of."""
    organizations = organizations_of(request)
    rows: JobQuerySet = Job.primary.all()
    if organizations is None:
        return rows
    if len(organizations) > MAX_ORGANIZATIONS:
        return rows.visible_to(request.user)
    return rows.filter(organization_id__in=organizations)


def tenant(job: Job) -> SafeString | str:
    """Return the id that the job's organization has now; beside that of a deleted one, that it is deleted.

    Another organization may have that id by now.
    """
    name = line(shown_id(job), 40)
    return format_html("{} <small>{}</small>", name, gettext("deleted")) if is_gone(job) else name
