"""The OpenAPI schema: what drf-spectacular is told about the views. It is imported only where that is installed.

Nothing here reads the database. Parameters are any object here; what a job type accepts is in the
``parameters_schema`` of its own answer.
"""

from __future__ import annotations

from copy import deepcopy
from functools import cache
from typing import Any, Final

from drf_spectacular.extensions import OpenApiSerializerFieldExtension, OpenApiViewExtension
from drf_spectacular.openapi import AutoSchema
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, inline_serializer
from rest_framework import serializers
from rest_framework.settings import api_settings

from django_jobs.api.jobs import JobListFilter
from django_jobs.api.pagination import JobListPagination

# The errors of calls, by status.


class ErrorSerializer(serializers.Serializer[Any]):
    """What went wrong; ``code`` is made for programs. Some errors tell facts beside it."""

    detail = serializers.CharField()
    code = serializers.CharField()
    existing_job_id = serializers.CharField(required=False, help_text="Of a duplicate_job.")
    job_id = serializers.CharField(required=False, help_text="Of an invalid_transition.")
    batch_id = serializers.CharField(required=False, help_text="The same, where a batch was asked for it.")
    status = serializers.CharField(required=False, help_text="That job's, or the state of that batch.")
    verb = serializers.CharField(required=False, help_text="What was asked of it.")
    index = serializers.IntegerField(required=False, help_text="In bulk: the place of the first culprit.")


class MethodErrorSerializer(serializers.Serializer[Any]):
    """What went wrong with a method's call."""

    exc_type = serializers.CharField()
    message = serializers.CharField()
    existing_job_id = serializers.CharField(required=False)


_FIELD_ERRORS: Final[dict[str, Any]] = {
    "type": "object",
    "additionalProperties": {"type": "array", "items": {"type": "string"}},
}
_ERROR: Final[dict[str, Any]] = {
    "type": "object",
    "properties": {"detail": {"type": "string"}, "code": {"type": "string"}},
    "required": ["detail", "code"],
}
#: Of any call. A list of errors is as long as the list that was sent, with {} for what is good.
INVALID: Final = OpenApiResponse(
    {"anyOf": [_FIELD_ERRORS, _ERROR, {"type": "array", "items": _FIELD_ERRORS}]},
    "The fields that are wrong, each with its reasons; or, of a body that cannot be read, detail and code. "
    "In bulk a list as long as the body, with {} for what is good.",
)
ERRORS: Final = {
    401: "Without authentication (`not_authenticated`).",
    403: "You may not (`permission_denied`), or the organization is not active (`organization_inactive`).",
    404: "There is no such thing for you (`not_found`), or the job has no file (`no_output`).",
    405: "The address has no such method (`method_not_allowed`).",
    406: "There is no answer of the kind that `Accept` asks for (`not_acceptable`).",
    409: "The state does not allow it (`invalid_transition`), or it is there already (`duplicate_job`).",
    413: "The body is too large (`too_large`).",
    415: "The body is of another kind, or has another charset (`unsupported_media_type`).",
    429: "Too many requests (`throttled`), or more jobs than the type (`rate_limited`) or the organization "
    "(`queue_full`) takes; see `Retry-After`.",
    500: "The host's access policy failed, so that nobody knows whether you may (`access_policy_failed`).",
}


# What each call takes and answers.


_HOSTS: Any = api_settings.DEFAULT_SCHEMA_CLASS
#: The host's own way to describe views, such as its tags, is kept.
_Base: Any = _HOSTS if issubclass(_HOSTS, AutoSchema) else AutoSchema


class JobsSchema(_Base):  # type: ignore[misc]
    """Describes a call by its entry in the view's ``calls``, and by its docstring."""

    view: Any

    def get_summary(self) -> str:
        """Return the first sentence of the description."""
        return str(self.get_description()).partition("\n\n")[0].partition(". ")[0].replace("\n", " ").removesuffix(".")

    def get_override_parameters(self) -> list[Any]:
        """Return the ids in the path, and what the address may have beside filters and pages."""
        name = self.view.lookup_field
        ids = [OpenApiParameter(name, int if name == "id" else str, OpenApiParameter.PATH)]
        query = [self.view.call.query] if self.view.call.query and self.method == "GET" else []
        return [*(ids if f"{{{name}}}" in self.path else []), *query]

    def get_request_serializer(self) -> Any:
        return self.view.call.takes

    def get_response_serializers(self) -> Any:
        left_out = {*({404} if "{" not in self.path else ()), *({409} if self.method == "GET" else ())}
        told = {code: OpenApiResponse(ErrorSerializer, text) for code, text in ERRORS.items() if code not in left_out}
        return {**self.view.call.answers, 400: INVALID, **told}


class MethodSchema(JobsSchema):
    """Describes a method, whose fields may stand in the address or in the body."""

    def get_description(self) -> str:
        return str(type(self.view).__doc__)

    def get_override_parameters(self) -> list[Any]:
        view = self.view
        if view.call.takes:
            return []
        parts = (JobListFilter(), JobListPagination())
        listed = {item["name"]: item for part in parts for item in part.get_schema_operation_parameters(view)}
        return [
            OpenApiParameter(
                name,
                listed.get(name, {}).get("schema", str),
                description=listed.get(name, {}).get("description", ""),
                required=name == "job_id" and self.method == "GET",  # a POST may have it in its body
            )
            for name in view.fields
        ]

    def get_response_serializers(self) -> Any:
        errors = {code: OpenApiResponse(MethodErrorSerializer, text) for code, text in ERRORS.items()}
        return {
            200: _message(type(self.view).__name__, self.view.call.answers[200]),
            400: OpenApiResponse(MethodErrorSerializer, "What is wrong."),
            **errors,
        }


@cache
def _message(name: str, answer: Any) -> Any:
    return inline_serializer(f"{name}Message", {"message": answer()})


class _DescribeViews(OpenApiViewExtension):  # type: ignore[no-untyped-call]
    match_subclasses = True
    schema: Any

    def view_replacement(self) -> Any:
        return type(self.target.__name__, (self.target,), {"schema": self.schema(), "__doc__": self.target.__doc__})


class DescribeRows(_DescribeViews):  # type: ignore[no-untyped-call]
    """The routes of jobs, batches and so on."""

    target_class = "django_jobs.api.base.RowsView"
    schema = JobsSchema


class DescribeMethods(_DescribeViews):  # type: ignore[no-untyped-call]
    """The quickstart's calls."""

    target_class = "django_jobs.api.methods.MethodView"
    schema = MethodSchema


# Fields of our own.


class DescribeField(OpenApiSerializerFieldExtension):  # type: ignore[no-untyped-call]
    """A field that says itself what it takes and shows."""

    target_class = "django_jobs.api.fields.DescribedField"
    match_subclasses = True

    def map_serializer_field(self, auto_schema: Any, direction: Any) -> Any:
        return deepcopy(self.target.shown if direction == "response" else self.target.taken)
