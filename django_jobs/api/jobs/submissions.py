"""Hand submissions that came in over HTTP to the engine, one or many."""

from __future__ import annotations

from typing import Any, Final

from rest_framework.exceptions import ValidationError
from rest_framework.serializers import as_serializer_error

from django_jobs.api.serializers import SubmissionSerializer
from django_jobs.engine.access import organizations_named, unknown_organization
from django_jobs.engine.submission.submit import submit_job, submit_jobs
from django_jobs.exceptions import InvalidSubmission
from django_jobs.models import Job
from django_jobs.texts import say

#: Submissions in one call.
MAX_BULK: Final = 1_000
#: An id that no organization has. None would mean the system organization.
UNKNOWN: Final = ""


def reread(job: Job) -> Job:
    """Return the job as it stands now, since it may have been dispatched meanwhile."""
    return Job.primary.filter(pk=job.pk).first() or job


def submit(serializer: SubmissionSerializer, user: Any) -> Job:
    """Submit what a valid serializer holds, and return the job.

    ValidationError has the engine's errors at the serializer's fields.
    """
    fields = dict(serializer.validated_data)
    name = fields["organization"]
    visible = bool(organizations_named({name}, user))
    try:
        # With UNKNOWN the engine still checks the other fields, and its answer tells nothing about this organization.
        return submit_job(**{**fields, "organization": name if visible else UNKNOWN}, user=user)
    except InvalidSubmission as error:
        if not visible:
            error.errors["organization"] = [unknown_organization(name)]
        raise serializer.refusal(error) from error


def check_list(items: Any) -> list[Any]:
    """Return the body if it is a list of at most MAX_BULK submissions; raise ValidationError if not."""
    if not isinstance(items, list):
        text = say("Give a list of submissions, each an object (a dict).", code="not_a_list")
        raise ValidationError({"non_field_errors": [text]})
    if len(items) > MAX_BULK:
        text = say("At most %(most)d submissions are taken at once.", code="too_many", most=MAX_BULK)
        raise ValidationError({"non_field_errors": [text]})
    return items


def submit_all(items: list[Any], user: Any) -> list[Job]:
    """Submit a list, all or nothing, and return the jobs in the same order.

    ValidationError has a list as long as this one, with ``{}`` for each item that is right. Where no single item is
    wrong, it has the errors of the call.
    """
    read, errors = _read_all(items)
    visible = organizations_named({fields["organization"] for fields in read if fields}, user)
    asked = [fields and {**fields, "organization": _if_visible(fields["organization"], visible)} for fields in read]
    try:
        jobs = submit_jobs(asked, user=user)
    except InvalidSubmission as error:
        errors = {**error.by_index, **_unknown(read, visible, error.by_index), **errors}
        if not errors:  # no single item is wrong
            raise ValidationError(error.errors) from error
        raise ValidationError([errors.get(index, {}) for index in range(len(items))]) from error
    return jobs


def _read_all(items: list[Any]) -> tuple[list[Any], dict[int, Any]]:
    """Read each item: its fields, or None with its errors by index.

    The engine refuses None and still checks the other items, so that one answer has all errors.
    """
    serializer = SubmissionSerializer()
    read: list[Any] = []
    errors: dict[int, Any] = {}
    for index, item in enumerate(items):
        try:
            read.append(dict(serializer.run_validation(item)))
        except ValidationError as error:
            read.append(None)
            errors[index] = as_serializer_error(error)  # of null the REST framework has a mere list
    return read, errors


def _if_visible(name: Any, visible: dict[str, Any]) -> Any:
    return name if name in visible else UNKNOWN


def _unknown(read: list[Any], visible: dict[str, Any], by_index: dict[int, Any]) -> dict[int, Any]:
    """The errors of the items whose organization the user may not know of."""
    return {
        index: {**by_index.get(index, {}), "organization": [unknown_organization(fields["organization"])]}
        for index, fields in enumerate(read)
        if fields is not None and fields["organization"] not in visible
    }
