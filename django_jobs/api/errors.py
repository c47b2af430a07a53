"""Errors as answers, and bodies that cannot be read."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping
from typing import Any, Final

from django.conf import settings
from django.core import exceptions as django_exceptions
from django.http import Http404, UnreadablePostError
from django.http.multipartparser import MultiPartParserError
from rest_framework import exceptions, status
from rest_framework.exceptions import ParseError, UnsupportedMediaType
from rest_framework.parsers import JSONParser
from rest_framework.response import Response
from rest_framework.settings import api_settings

from django_jobs.engine.access import report
from django_jobs.engine.json_storage import clean_text
from django_jobs.exceptions import (
    BatchNotFound,
    DuplicateJob,
    InvalidOperation,
    InvalidSubmission,
    InvalidTransition,
    JobNotFound,
    OperationOver,
    PolicyFailed,
    QueueFull,
    RetryableRefusal,
    ScheduleNotFound,
)
from django_jobs.models.batch import parse_batch_id
from django_jobs.texts import code_of, say

# Which exception becomes which HTTP status, code and facts.
#
# This holds for the views of this package alone. The host's ``EXCEPTION_HANDLER`` stays as it is for its own views, and
# also gets the exceptions that are not known here.


class TooLarge(exceptions.APIException):
    """The body is larger than the host accepts (``DATA_UPLOAD_MAX_MEMORY_SIZE``)."""

    status_code = status.HTTP_413_REQUEST_ENTITY_TOO_LARGE
    default_detail = "The request's body is too large."
    default_code = "too_large"


class NoOutput(exceptions.NotFound):
    """The job saved no file, or the file is gone."""

    default_detail = "This job has no output file."
    default_code = "no_output"


class OutputWithheld(exceptions.PermissionDenied):
    """Results and outputs are withheld until the organization is active again."""

    default_detail = "The organization is not active; its outputs are withheld until it is again."
    default_code = "organization_inactive"


class JobTypeInUse(exceptions.APIException):
    """A job type that has jobs cannot be deleted."""

    status_code = status.HTTP_409_CONFLICT
    default_detail = "This job type has jobs, so it cannot be deleted. Disable it instead."
    default_code = "job_type_in_use"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """What a client is told of an error.

    ``fields`` takes the place of ``detail`` where single fields are wrong. ``facts`` stand beside ``detail``.
    """

    status_code: int
    code: str
    detail: str = ""
    fields: Any = None
    facts: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    headers: Mapping[str, str] = dataclasses.field(default_factory=dict)


def answer(error: Exception, context: Mapping[str, Any]) -> Response | None:
    """Return the answer to an exception; the host's own handler answers what is not known here, or returns None."""
    problem = problem_of(error)
    if problem is None:
        by_host: Any = api_settings.EXCEPTION_HANDLER
        response: Response | None = by_host(error, context)
        return response
    facts = dict(problem.facts)
    if getattr(context.get("view"), "action", "") != "bulk":
        facts.pop("index", None)
    body = problem.fields if problem.fields is not None else {"detail": problem.detail, "code": problem.code, **facts}
    return Response(body, status=problem.status_code, headers=dict(problem.headers))


def problem_of(error: Exception) -> Problem | None:
    """Return what a client is told of an exception; None for an error of the code, which no client is told of."""
    for kinds, describe in _KNOWN:
        if isinstance(error, kinds):
            problem = describe(error)
            # Errors may quote what cannot be sent.
            return dataclasses.replace(problem, detail=clean_text(problem.detail, 500), fields=_clean(problem.fields))
    return None


def _policy_failed(error: Exception) -> Problem:
    report(error)
    detail = "Whether you may do this cannot be told: the access policy failed."
    return Problem(status_code=500, code="access_policy_failed", detail=detail)


def _invalid(error: Any) -> Problem:
    return Problem(status_code=400, code="invalid", fields=error.errors)


def _duplicate(error: Any) -> Problem:
    facts = {"index": error.index}
    if error.is_visible:
        facts |= {"existing_job_id": error.existing.name, "status": str(error.existing.status)}
    return Problem(status_code=409, code="duplicate_job", detail=str(error), facts=facts)


def _transition(error: Any) -> Problem:
    name = "job_id" if parse_batch_id(error.job_id) is None else "batch_id"
    facts = {name: error.job_id, "status": str(error.status), "verb": error.verb}
    return Problem(status_code=409, code="invalid_transition", detail=str(error), facts=facts)


def _refusal(error: Any) -> Problem:
    code = "queue_full" if isinstance(error, QueueFull) else "rate_limited"
    return Problem(
        status_code=429,
        code=code,
        detail=str(error),
        facts={"index": error.index},
        headers=_retry_after(error.retry_after),
    )


def _not_found(error: Exception) -> Problem:
    detail = str(error) if isinstance(error, JobNotFound | BatchNotFound | ScheduleNotFound) else "Not found."
    return Problem(status_code=404, code="not_found", detail=detail)


def _denied(error: Exception) -> Problem:
    return Problem(status_code=403, code="permission_denied", detail=str(error) or "You may not do this.")


def _bad_request(error: Exception) -> Problem:
    return Problem(status_code=400, code="invalid", detail=str(error) or "Malformed request.")


def _of_framework(error: Any) -> Problem:
    """The REST framework's own errors, under the codes that this API documents."""
    headers = {"WWW-Authenticate": error.auth_header} if getattr(error, "auth_header", None) else {}
    if isinstance(error, exceptions.Throttled):
        headers |= _retry_after(getattr(error, "wait", None) or 1)
    if isinstance(error.detail, dict | list):
        return Problem(status_code=error.status_code, code="invalid", fields=error.detail, headers=headers)
    code = str(getattr(error.detail, "code", error.default_code))
    code = _CODES.get(code, code)
    return Problem(status_code=error.status_code, code=code, detail=str(error.detail), headers=headers)


def _retry_after(seconds: float) -> dict[str, str]:
    return {"Retry-After": str(max(1, math.ceil(seconds)))}


def _clean(errors: Any) -> Any:
    """Return the errors as text that can be sent; None as it is. Each keeps its code."""
    if errors is None:
        return None
    if isinstance(errors, Mapping):
        return {clean_text(key, 200): _clean(value) for key, value in errors.items()}
    if isinstance(errors, list | tuple):
        return [_clean(item) for item in errors]
    return say("%(text)s", code=code_of(errors), text=clean_text(errors, 1000))


_CODES: Final = {"parse_error": "invalid", "authentication_failed": "not_authenticated"}

#: The first that fits an exception describes it.
_KNOWN: Final[tuple[tuple[Any, Callable[[Any], Problem]], ...]] = (
    (PolicyFailed, _policy_failed),
    ((InvalidSubmission, InvalidOperation), _invalid),
    (DuplicateJob, _duplicate),
    (InvalidTransition, _transition),
    (OperationOver, lambda error: Problem(status_code=409, code="invalid_transition", detail=str(error))),
    (RetryableRefusal, _refusal),
    # Any other ObjectDoesNotExist is an error in the host's code, so it is not listed here.
    ((JobNotFound, BatchNotFound, ScheduleNotFound, Http404), _not_found),
    (exceptions.APIException, _of_framework),
    (django_exceptions.PermissionDenied, _denied),
    (django_exceptions.RequestDataTooBig, lambda _: _of_framework(TooLarge())),
    (
        (
            django_exceptions.SuspiciousOperation,
            django_exceptions.BadRequest,
            MultiPartParserError,
            UnreadablePostError,
        ),
        _bad_request,
    ),
)


# Reading the bodies of requests, within bounds.


class SafeJSONParser(JSONParser):
    """Parse JSON. ParseError, not a crash, for JSON that is nested more deeply than Python can read."""

    def parse(self, stream: Any, media_type: Any = None, parser_context: Any = None) -> Any:
        try:
            return super().parse(stream, media_type, parser_context)
        except RecursionError as error:
            raise ParseError("JSON parse error - it is nested too deeply.") from error


def check_body(request: Any) -> None:
    """Refuse a body that could not be read to its end.

    TooLarge for more than ``DATA_UPLOAD_MAX_MEMORY_SIZE`` bytes, which Django itself checks for forms alone.
    UnsupportedMediaType for a charset that is unknown, no encoding of text, or fails at wrong bytes.
    """
    limit: int | None = settings.DATA_UPLOAD_MAX_MEMORY_SIZE
    length = str(request.META.get("CONTENT_LENGTH") or "0")
    if limit is not None and length.isascii() and length.isdecimal() and int(length[:20]) > limit:
        raise TooLarge(f"The request's body is larger than {limit} bytes.")
    encoding = request.encoding
    try:
        b"\xff".decode(encoding or "utf-8", "replace")  # which is how Django reads forms
    except (LookupError, UnicodeError) as error:
        request.encoding = None  # the answer is written in the request's encoding
        raise UnsupportedMediaType(f"charset={encoding}") from error
