"""Submissions as they come in over HTTP, one or many, handed to the engine."""

from __future__ import annotations

from typing import Any, Final

from rest_framework.exceptions import ValidationError

from django_jobs.api.scope import organizations_named, unknown_organization
from django_jobs.api.serializers import SubmissionSerializer
from django_jobs.engine.submission.bulk import submit_jobs
from django_jobs.engine.submission.single import submit_job
from django_jobs.exceptions import InvalidSubmission
from django_jobs.models import Job

MAX_BULK: Final = 1_000


def reread(job: Job) -> Job:
    """Return the job as it stands now, since it may have been dispatched meanwhile."""
    return Job.primary.filter(pk=job.pk).first() or job


def submit(serializer: SubmissionSerializer, user: Any) -> Job:
    """Submit what a valid serializer holds; ValidationError has the engine's errors at the serializer's fields."""
    fields = dict(serializer.validated_data)
    name = fields["organization"]
    visible = bool(organizations_named({name}, user))
    try:
        # None is no organization at all: so the engine judges the other fields, and tells nothing of this one.
        return submit_job(**{**fields, "organization": name if visible else None}, user=user)
    except InvalidSubmission as error:
        if not visible:
            error.errors["organization"] = [unknown_organization(name)]
        raise serializer.refusal(error) from error


def check_list(items: Any) -> list[Any]:
    """The list of submissions that a body is; ValidationError for anything else, and for too long a list."""
    if not isinstance(items, list):
        raise ValidationError({"non_field_errors": ["Give a list of submissions, each an object (a dict)."]})
    if len(items) > MAX_BULK:
        raise ValidationError({"non_field_errors": [f"At most {MAX_BULK} submissions are taken at once."]})
    return items


def submit_all(items: list[Any], user: Any) -> list[Job]:
    """Submit a list, all or nothing. ValidationError has a list as long as this one, with ``{}`` where it is good."""
    read, errors = _read_all(items)
    visible = organizations_named({fields["organization"] for fields in read if fields}, user)
    asked = [fields and {**fields, "organization": _if_visible(fields["organization"], visible)} for fields in read]
    try:
        jobs = submit_jobs(asked, user=user)
    except InvalidSubmission as error:
        errors = {**error.by_index, **_unknown(read, visible, error.by_index), **errors}
        if not errors:  # none of them is wrong by itself
            raise ValidationError(error.errors) from error
        raise ValidationError([errors.get(index, {}) for index in range(len(items))]) from error
    return jobs


def _read_all(items: list[Any]) -> tuple[list[Any], dict[int, Any]]:
    """The fields of each item, or None with its errors: the engine refuses None, and looks at the others."""
    serializer = SubmissionSerializer()
    read: list[Any] = []
    errors: dict[int, Any] = {}
    for index, item in enumerate(items):
        try:
            read.append(dict(serializer.run_validation(item)))
        except ValidationError as error:
            read.append(None)
            errors[index] = error.detail
    return read, errors


def _if_visible(name: Any, visible: dict[str, Any]) -> Any:
    return name if name in visible else None


def _unknown(read: list[Any], visible: dict[str, Any], by_index: dict[int, Any]) -> dict[int, Any]:
    """The errors of items whose organization is none of the user's."""
    return {
        index: {**by_index.get(index, {}), "organization": [unknown_organization(fields["organization"])]}
        for index, fields in enumerate(read)
        if fields is not None and fields["organization"] not in visible
    }
