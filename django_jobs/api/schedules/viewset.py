"""All routes of schedules."""

from __future__ import annotations

from typing import Any, Final

from django.db.models import QuerySet
from rest_framework import status
from rest_framework.decorators import action
from rest_framework.response import Response

from django_jobs.api.fields import check_parameters
from django_jobs.api.list_filters import ListFilterBackend
from django_jobs.api.pagination import JobsPagination
from django_jobs.api.rows import RowsView
from django_jobs.api.schedules import definitions
from django_jobs.api.schedules.answers import firings_of, preview_of, rows_of
from django_jobs.api.schedules.browsable import page_context
from django_jobs.api.schedules.filters import ScheduleFilter
from django_jobs.api.schedules.serializers import RuleSerializer, ScheduleSerializer
from django_jobs.api.serializers import NothingSerializer
from django_jobs.engine.access import key_in
from django_jobs.engine.schedules.definitions import (
    get_schedule,
    not_found,
    pause_schedule,
    preview,
    resume_schedule,
    unschedule,
    visible_schedules,
)
from django_jobs.engine.schedules.firing import fire_now
from django_jobs.models import Schedule, ScheduleFiring

#: Parameters that a preview by GET may have beside those of a rule.
PREVIEW_PARAMETERS: Final = ("format",)


class ScheduleViewSet(RowsView[Schedule]):
    """Schedules, which submit jobs by themselves: those of the organizations whose admin you are.

    System admins see all of them. You also see, pause and delete those that submit in your name.
    """

    lookup_field = "id"
    filter_backends = [ListFilterBackend]
    filterset_class = ScheduleFilter
    pagination_class = JobsPagination

    _SCOPES: Final = {
        "list": "list",
        "retrieve": "status",
        "firings": "status",
        "preview": "status",
        "pause": "cancel",
        "resume": "cancel",
        "destroy": "cancel",
    }

    def throttle_scope_of(self, request: Any) -> str:
        return self._SCOPES.get(self.action or "", "submit")

    def get_serializer_class(self) -> Any:
        """Return the serializer of what a call takes; a page shows the form of the POST to its address."""
        if self.action == "preview":
            return RuleSerializer
        return NothingSerializer if self.action in {"pause", "resume", "fire", "firings"} else ScheduleSerializer

    def get_queryset(self) -> QuerySet[Schedule]:
        if getattr(self, "swagger_fake_view", False):  # a schema is made without the database
            return Schedule.objects.none()
        return visible_schedules(self.request.user).order_by("name", "pk")

    def get_object(self) -> Schedule:
        stops = self.action in {"retrieve", "firings", "pause", "destroy"}
        key = key_in(self.kwargs["id"])
        if key is None:
            raise not_found(self.kwargs["id"])
        return get_schedule(key, user=self.request.user, stops=stops)

    def list(self, request: Any, **kwargs: Any) -> Response:
        """The schedules that you see, by name."""
        page = self.paginate_queryset(self.filter_queryset(self.get_queryset())) or []
        return self.get_paginated_response(rows_of(page, request.user, self._address_of))

    def create(self, request: Any, **kwargs: Any) -> Response:
        """Make a schedule."""
        serializer = self._read(request)
        body = self._described(definitions.create(serializer, request.user))
        return Response(body, status=status.HTTP_201_CREATED, headers={"Location": body["url"]})

    def retrieve(self, request: Any, **kwargs: Any) -> Response:
        """A schedule, and when it fires next."""
        return Response(self._described(self.get_object()))

    def update(self, request: Any, *, partial: bool = False, **kwargs: Any) -> Response:
        """Change a schedule. What the body does not have is set to its default."""
        schedule = self.get_object()
        serializer = self._read(request, schedule, partial=partial)
        return Response(self._described(definitions.change(schedule, serializer, request.user)))

    def partial_update(self, request: Any, **kwargs: Any) -> Response:
        """Change some fields of a schedule."""
        return self.update(request, partial=True, **kwargs)

    def destroy(self, request: Any, **kwargs: Any) -> Response:
        """Delete a schedule with the history of its firings. Its jobs stay."""
        unschedule(self.get_object(), user=request.user)
        return Response(status=status.HTTP_204_NO_CONTENT)

    @action(detail=True, methods=["post"])
    def pause(self, request: Any, **kwargs: Any) -> Response:
        """Let a schedule fire no more until it is resumed."""
        self.refuse_fields(request)
        return Response(self._described(pause_schedule(self.get_object(), user=request.user)))

    @action(detail=True, methods=["post"])
    def resume(self, request: Any, **kwargs: Any) -> Response:
        """Let a paused schedule fire again, from now on: what was due meanwhile is not caught up."""
        self.refuse_fields(request)
        return Response(self._described(resume_schedule(self.get_object(), user=request.user)))

    @action(detail=True, methods=["post"])
    def fire(self, request: Any, **kwargs: Any) -> Response:
        """Fire a schedule now, paused or not. Its next firing stays when it is."""
        self.refuse_fields(request)
        firing = fire_now(self.get_object(), user=request.user)
        code = status.HTTP_201_CREATED if firing.submitted else status.HTTP_202_ACCEPTED
        return Response(firings_of([firing], request.user)[0], status=code)

    @action(detail=True, methods=["get"], filter_backends=[])
    def firings(self, request: Any, **kwargs: Any) -> Response:
        """The firings of a schedule, the newest first. The newest 1,000 are kept."""
        check_parameters(request.query_params, ["limit", "offset", "format"])
        rows = ScheduleFiring.primary.filter(schedule_id=self.get_object().pk).order_by("-pk")
        page: Any = self.paginate_queryset(rows) or []  # type: ignore[arg-type]
        return self.get_paginated_response(firings_of(page, request.user))

    @action(detail=False, methods=["get", "post"], filter_backends=[], pagination_class=None)
    def preview(self, request: Any, **kwargs: Any) -> Response:
        """What a rule says in words, and its next five firings. Nothing is stored."""
        given = request.data if request.method == "POST" else _rule_in(request.query_params)
        serializer = RuleSerializer(data=given)
        serializer.is_valid(raise_exception=True)
        return Response(preview_of(preview(serializer.validated_data)))

    def page_context(self, data: Any) -> dict[str, Any]:
        """Return what the browsable API shows beside an answer."""
        return page_context(self, data)

    def _address_of(self, pk: int) -> str:
        return self.reverse_action("detail", kwargs={"id": pk})

    def _described(self, schedule: Schedule) -> dict[str, Any]:
        return rows_of([schedule], self.request.user, self._address_of)[0]

    def _read(self, request: Any, schedule: Schedule | None = None, **options: Any) -> ScheduleSerializer:
        context = self.get_serializer_context()
        serializer = ScheduleSerializer(schedule, data=request.data, context=context, **options)
        serializer.is_valid(raise_exception=True)
        return serializer


def _rule_in(parameters: Any) -> dict[str, Any]:
    """Return the fields of a rule from the parameters of an address."""
    check_parameters(parameters, [*RuleSerializer().fields, *PREVIEW_PARAMETERS])
    return {name: value for name, value in parameters.items() if name not in PREVIEW_PARAMETERS}
