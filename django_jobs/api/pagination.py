"""Pages by limit and offset at a bounded cost: counting ends at 10,000 rows, and an offset goes no farther."""

from __future__ import annotations

from typing import Any, Final

from django.db.models import QuerySet
from rest_framework import serializers
from rest_framework.exceptions import ValidationError
from rest_framework.pagination import LimitOffsetPagination
from rest_framework.response import Response
from rest_framework.utils.urls import replace_query_param

from django_jobs.engine.insight.status import MAX_OFFSET, MAX_RESULTS
from django_jobs.engine.store.counting import capped_count
from django_jobs.texts import say

#: Rows of a page: where the request names no limit, and the most that it may ask for.
DEFAULT_LIMIT: Final = 20
MAX_LIMIT: Final = 100
#: The field of a job that a list has only where it is asked for.
RESULT: Final = "result"
_LIMIT: Final = f"Rows a page; more than {MAX_LIMIT} are cut to {MAX_LIMIT}."
#: What reaches the rows beyond MAX_OFFSET.
_OLDER_JOBS: Final = "use created_before to reach older jobs"


class JobsPagination(LimitOffsetPagination):
    """Split a list into pages. Beyond 10,000 rows ``count`` is 10,000, and the answer has ``count_capped``."""

    default_limit = DEFAULT_LIMIT
    max_limit = MAX_LIMIT
    #: The parameters of the address that are read here.
    parameters: tuple[str, ...] = ("limit", "offset")
    #: What a list that is longer has for what lies farther away; an empty text where nothing reaches that.
    farther = ""
    is_capped = False

    def max_limit_of(self, parameters: Any) -> int:
        """Return how many rows a page of a request with these parameters may have."""
        return MAX_LIMIT

    def paginate_queryset(self, queryset: Any, request: Any, view: Any = None) -> list[Any]:
        self.request = request
        self.limit, self.offset = limit, offset = read_range(
            request.query_params, self.max_limit_of(request.query_params), self.farther
        )
        self._following = offset + limit
        self.count = self._total = self.get_count(queryset)
        self.display_page_controls = self._total > limit and self.template is not None
        return list(queryset[offset : self._following]) if self._total > 0 else []

    def get_count(self, queryset: Any) -> int:
        if not isinstance(queryset, QuerySet):
            return len(queryset)
        count, self.is_capped = capped_count(queryset)
        return count

    def get_next_link(self) -> Any:
        # There are more rows than were counted, which the REST framework does not know.
        if self.is_capped and self._total <= self._following <= MAX_OFFSET and self.request is not None:
            url = replace_query_param(self.request.build_absolute_uri(), "limit", self.limit)
            return replace_query_param(url, "offset", self._following)
        return super().get_next_link()

    def get_paginated_response(self, data: Any) -> Response:
        pages = {"next": self.get_next_link(), "previous": self.get_previous_link()}
        capped = {"count_capped": True} if self.is_capped else {}
        links = ", ".join(f'<{url}>; rel="{name[:4]}"' for name, url in pages.items() if url)
        body = {"count": self.count, **capped, **pages, "results": data}
        return Response(body, headers={"Link": links} if links else {})

    def get_paginated_response_schema(self, schema: Any) -> Any:
        described: dict[str, Any] = super().get_paginated_response_schema(schema)
        text = f"There are more than {MAX_OFFSET}; only then is this here."
        described["properties"]["count_capped"] = {"type": "boolean", "description": text}
        return described

    def get_schema_operation_parameters(self, view: Any) -> list[dict[str, Any]]:
        limit = {"type": "integer", "minimum": 1, "default": DEFAULT_LIMIT}
        offset = {"type": "integer", "minimum": 0, "maximum": MAX_OFFSET, "default": 0}
        return [
            {"name": "limit", "in": "query", "required": False, "schema": limit, "description": _LIMIT},
            {
                "name": "offset",
                "in": "query",
                "required": False,
                "schema": offset,
                "description": f"Where the page begins{f'; {self.farther}' if self.farther else ''}.",
            },
        ]


class JobListPagination(JobsPagination):
    """Split a list of jobs into pages, smaller ones where the results are asked for."""

    parameters = ("limit", "offset", "fields")
    farther = _OLDER_JOBS

    def max_limit_of(self, parameters: Any) -> int:
        return MAX_RESULTS if asks_for_results(parameters) else MAX_LIMIT

    def get_schema_operation_parameters(self, view: Any) -> list[dict[str, Any]]:
        text = f"`result` adds what the handlers returned; then a page has {MAX_RESULTS} jobs at most."
        fields = {"type": "string", "enum": [RESULT]}
        found = super().get_schema_operation_parameters(view)
        return [*found, {"name": "fields", "in": "query", "required": False, "schema": fields, "description": text}]


def asks_for_results(parameters: Any) -> bool:
    """Return whether ``fields=result`` was given. ValidationError for any other field, since a list has all others."""
    asked = parameters.get("fields")
    if asked not in (None, "", RESULT):
        text = say("Only %(field)r may be asked for; a list has all other fields.", code="invalid_choice", field=RESULT)
        raise ValidationError({"fields": [text]})
    return bool(asked)


class RangeSerializer(serializers.Serializer[Any]):
    """Which rows a page has."""

    limit = serializers.IntegerField(min_value=1, default=DEFAULT_LIMIT)
    offset = serializers.IntegerField(min_value=0, default=0)


def read_range(parameters: Any, max_limit: int, farther: str = _OLDER_JOBS) -> tuple[int, int]:
    """Return (limit, offset) of a request, the limit cut to ``max_limit``.

    ValidationError names what is no number or too small, and an offset beyond MAX_OFFSET; of such a one it says what
    reaches those rows.
    """
    given = {name: parameters[name] for name in ("limit", "offset") if parameters.get(name) not in (None, "")}
    page = RangeSerializer(data=given)
    page.is_valid(raise_exception=True)
    limit, offset = page.validated_data["limit"], page.validated_data["offset"]
    if offset > MAX_OFFSET:
        more = f"; {farther}" if farther else ""
        text = say("At most %(most)d%(more)s.", code="too_large", most=MAX_OFFSET, more=more)
        raise ValidationError({"offset": [text]})
    return min(limit, max_limit), offset
