"""The list of jobs: what it reads, how far it looks, and how it is searched."""

from __future__ import annotations

from typing import Any, Final

from django.core.exceptions import ValidationError
from django.db import DataError
from django.db.models import QuerySet
from django.http import HttpRequest

from django_jobs.admin.job_filters import BoundedFilter
from django_jobs.admin.lookups import DeclaredList, clean_term
from django_jobs.conf import jobs_settings
from django_jobs.engine.insight.newest_jobs import RECENT, among_newest
from django_jobs.engine.lookup import visible_organizations
from django_jobs.engine.store import database, organization_ids
from django_jobs.models import get_organization_model
from django_jobs.models.batch import parse_batch_id
from django_jobs.models.job import parse_job_id
from django_jobs.statuses import WITH_ERRORS

#: The list needs none of these columns, and reading them for a page of jobs would be slow.
LARGE: Final = ("input_parameters", "metadata", "result", "output_reference", "error_message")


class JobList(DeclaredList):
    """A page of the jobs that a user may see. ``looks_back`` is how many of the newest were looked at; None for all."""

    looks_back: int | None = None

    def get_queryset(self, request: HttpRequest, exclude_parameters: Any = None) -> QuerySet[Any]:
        rows = super().get_queryset(request, exclude_parameters)
        if self._needs_bound():
            rows, is_bounded = among_newest(rows, visible_organizations(None, request.user), RECENT)
            self.looks_back = RECENT if is_bounded else None
        return rows.defer(*LARGE)

    def get_results(self, request: HttpRequest) -> None:
        super().get_results(request)
        self.result_list = list(self.result_list)
        organization_ids.mark(self.result_list)

    def _needs_bound(self) -> bool:
        filters = [item for item in self.filter_specs if isinstance(item, BoundedFilter)]
        if any(item.is_selective() for item in filters):
            return False
        return any(item.needs_bound() for item in filters)


def search(rows: QuerySet[Any], text: str, user: Any) -> QuerySet[Any]:
    """Return the jobs with this job id, batch id, organization id or owner name; else those with these words in their
    error.
    """
    term = clean_term(text.strip())
    if not term:
        return rows.none() if text.strip() else rows
    parsed = parse_job_id(term)
    if parsed is not None:
        return rows.filter(pk=parsed[0], created_at__year=parsed[1])
    of_batch = parse_batch_id(term)
    if of_batch is not None:
        return rows.filter(batch_id=of_batch[0], batch__created_at__year=of_batch[1])
    for lookup in ({"organization_id__in": organization_pks_of(term)}, {"owner_name": term}):
        if all(lookup.values()) and (found := rows.filter(**lookup)).exists():
            return found
    found = rows.filter(status__in=sorted(WITH_ERRORS), error_message__icontains=term)
    return among_newest(found, visible_organizations(None, user), RECENT).rows


def organization_pks_of(text: str) -> list[Any]:
    """Return the primary key of the organization with this id, in a list; an empty list if there is none."""
    found = database.rows(get_organization_model()).filter(**{jobs_settings.ORGANIZATION_ID_FIELD: text})
    try:
        return list(found.values_list("pk", flat=True))
    except (TypeError, ValueError, ValidationError, DataError):  # ids that are no text
        return []
