"""The routes of job types."""

from __future__ import annotations

from typing import Any

from drf_spectacular.extensions import OpenApiSerializerExtension, OpenApiViewExtension
from drf_spectacular.utils import OpenApiParameter, extend_schema, extend_schema_view

from django_jobs.api.schema.answers import IN_USE, NOT_FOUND, reading, writing
from django_jobs.api.serializers import BreakerSerializer, JobTypeSerializer

_NAME = [OpenApiParameter("type_name", str, "path", description="E.g. pdf_generation.")]
_MISSING = {404: NOT_FOUND}
_REPLACES = (
    "Change a job type. What the body does not have is set to what its code declares, or else to its default. "
    "System admins may."
)

_DESCRIPTIONS = {
    "list": extend_schema(responses=reading(JobTypeSerializer(many=True))),
    "retrieve": extend_schema(parameters=_NAME, responses=reading(JobTypeSerializer, _MISSING)),
    "create": extend_schema(responses=writing({201: JobTypeSerializer})),
    "update": extend_schema(
        parameters=_NAME, description=_REPLACES, responses=writing({200: JobTypeSerializer}, _MISSING)
    ),
    "partial_update": extend_schema(
        parameters=_NAME,
        description="Change some fields of a job type. System admins may.",
        responses=writing({200: JobTypeSerializer}, _MISSING),
    ),
    "destroy": extend_schema(parameters=_NAME, responses=writing({204: None}, {**_MISSING, 409: IN_USE})),
}


class DescribeJobTypes(OpenApiViewExtension):  # type: ignore[no-untyped-call]
    """Attaches the descriptions to the routes of job types."""

    target_class = "django_jobs.api.job_types.JobTypeViewSet"

    def view_replacement(self) -> Any:
        class Described(self.target_class):  # type: ignore[name-defined, misc]
            pass

        return extend_schema_view(**_DESCRIPTIONS)(Described)


class DescribeJobType(OpenApiSerializerExtension):  # type: ignore[no-untyped-call]
    """Says of which types ``breaker`` and ``parameters_schema`` are."""

    target_class = "django_jobs.api.serializers.JobTypeSerializer"

    def map_serializer(self, auto_schema: Any, direction: Any) -> Any:
        """Return the serializer's schema, with the breaker, and the JSON Schema of the parameters as any object."""
        schema = auto_schema._map_serializer(self.target, direction, bypass_extensions=True)  # noqa: SLF001
        if "breaker" in schema["properties"]:
            schema["properties"]["breaker"] = {
                "oneOf": [auto_schema.resolve_serializer(BreakerSerializer, direction).ref, {"type": "null"}],
                "readOnly": True,
                "description": "What holds the type's jobs. Null where nothing does, and to all but system admins.",
            }
        if "parameters_schema" in schema["properties"]:
            schema["properties"]["parameters_schema"] = {
                "type": ["object", "null"],
                "additionalProperties": True,
                "readOnly": True,
                "description": "A JSON Schema (draft 2020-12), or null where any object is accepted.",
            }
        return schema
