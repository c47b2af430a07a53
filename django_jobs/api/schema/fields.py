"""The OpenAPI types of this package's own serializer fields."""

from __future__ import annotations

import copy
from typing import Any

from drf_spectacular.extensions import OpenApiSerializerFieldExtension

from django_jobs.statuses import Priority

JOB_ID: dict[str, Any] = {"type": "string", "examples": ["JOB-2026-00001"]}
#: A priority as it comes in.
WORD_OR_NUMBER: dict[str, Any] = {
    "oneOf": [{"type": "string", "enum": Priority.words()}, {"type": "integer", "enum": list(map(int, Priority))}]
}


def _inline(schema: dict[str, Any]) -> dict[str, Any]:
    """Keep drf-spectacular from making a component of the enum, whose name could be one of the host's."""
    return {"anyOf": [schema]}


class DescribePriority(OpenApiSerializerFieldExtension):  # type: ignore[no-untyped-call]
    """A word in answers; a word or a number in submissions."""

    target_class = "django_jobs.api.fields.PriorityInput"

    def map_serializer_field(self, auto_schema: Any, direction: Any) -> dict[str, Any]:
        if direction == "response":
            return _inline({"type": "string", "enum": Priority.words()})
        return copy.deepcopy(WORD_OR_NUMBER)


class DescribeWord(OpenApiSerializerFieldExtension):  # type: ignore[no-untyped-call]
    """An enum of the words."""

    target_class = "django_jobs.api.fields.WordField"

    def map_serializer_field(self, auto_schema: Any, direction: Any) -> dict[str, Any]:
        return _inline({"type": "string", "enum": self.target.words})


class DescribeJobIds(OpenApiSerializerFieldExtension):  # type: ignore[no-untyped-call]
    """A list of ids, or one."""

    target_class = "django_jobs.api.fields.JobIdsField"

    def map_serializer_field(self, auto_schema: Any, direction: Any) -> dict[str, Any]:
        return {"oneOf": [{"type": "array", "items": JOB_ID}, JOB_ID]}


class DescribeObject(OpenApiSerializerFieldExtension):  # type: ignore[no-untyped-call]
    """An object with any keys."""

    target_class = "django_jobs.api.fields.ObjectField"

    def map_serializer_field(self, auto_schema: Any, direction: Any) -> dict[str, Any]:
        return {"type": "object", "additionalProperties": True}
