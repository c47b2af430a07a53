"""Answers that the REST routes and the method endpoints share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from rest_framework.exceptions import ValidationError
from rest_framework.utils.urls import replace_query_param

from django_jobs.api.pagination import RESULT
from django_jobs.engine.access import key_in, organizations_named, unknown_organization
from django_jobs.engine.insight.metrics import get_job_metrics
from django_jobs.engine.insight.status import describe_all, history_page
from django_jobs.exceptions import InvalidSubmission
from django_jobs.models import Job
from django_jobs.texts import say

SUBMITTED: Final = "Job submitted successfully"


def rows_of(jobs: Sequence[Job], user: Any, *, results: bool = False) -> list[dict[str, Any]]:
    """Return the jobs as the rows of a list: with long texts cut, and with ``result`` only where ``results`` is set."""
    rows = [item.as_dict() for item in describe_all(jobs, user=user, listed=True)]
    return rows if results else [{name: value for name, value in row.items() if name != RESULT} for row in rows]


def history_of(job: Job, request: Any, after: Any) -> dict[str, Any]:
    """Return a page of the job's history, with the address of the next one.

    ``after`` is the id of the last row of the page before, as the client sent it, or None for the first page.
    ValidationError when it cannot be an id.
    """
    key = key_in(str(after or 0))
    if key is None:
        raise ValidationError({"after": [say("Give the id of a row of this history.", code="not_an_id")]})
    page = history_page(job, key)
    address = replace_query_param(request.build_absolute_uri(), "after", page.after)
    return {"job_id": job.name, "history": page.rows, "next": None if page.after is None else address}


def metrics_of(organization: Any, user: Any) -> dict[str, Any]:
    """Return the metrics of one organization, or of all that the user may see where ``organization`` is empty.

    InvalidSubmission when there is no such organization for this user.
    """
    name = "" if organization is None else str(organization)
    if name and name not in organizations_named({name}, user):
        raise InvalidSubmission({"organization": [unknown_organization(name)]})
    return get_job_metrics(name or None, user=user)
