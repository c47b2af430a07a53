"""Schedules over HTTP."""

from __future__ import annotations

import dataclasses
import datetime as dt
from collections.abc import Callable, Sequence
from dataclasses import field
from typing import Any, Final

from rest_framework import serializers, status
from rest_framework.decorators import action
from rest_framework.response import Response

from django_jobs.api.base import RowsView, ViewCall, check_organization
from django_jobs.api.fields import (
    ListFilter,
    ObjectField,
    PriorityInput,
    StatusSerializer,
    StrictSerializer,
    fields_of,
)
from django_jobs.api.pagination import JobsPagination
from django_jobs.engine.access import key_in
from django_jobs.engine.insight.filter import CHOICE, SEARCH, TERMS, TEXT, Term
from django_jobs.engine.job_types.masking import NOTHING, MasksLeft, hidden_from, masked, parameters_to_submit
from django_jobs.engine.organizations import current_ids
from django_jobs.engine.pausing import set_paused
from django_jobs.engine.schedules.definitions import (
    FIELDS,
    change_schedule,
    create_schedule,
    get_schedule,
    having,
    not_found,
    preview,
    unschedule,
)
from django_jobs.engine.schedules.firing import fire_now
from django_jobs.engine.schedules.timetable import rule_of
from django_jobs.engine.scope import Scope, scope_of
from django_jobs.exceptions import InvalidSchedule
from django_jobs.models import Schedule, ScheduleFiring
from django_jobs.models.schedule import CatchUp, Overlap
from django_jobs.statuses import Priority
from django_jobs.values import Answer

# The routes of schedules: reading them, changing them, and having one fire.


# What clients are told of schedules and their firings.


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class ScheduleStatus(Answer):
    """What a schedule is, and when it fires. Times are in UTC."""

    id: int
    name: str
    job_type: str
    organization: str | None
    parameters: Any
    priority: str | None
    cron: str | None
    every: int | None
    timezone: str
    starts_at: dt.datetime | None
    ends_at: dt.datetime | None
    jitter: int
    catch_up: str
    overlap: str
    is_enabled: bool
    url: str = field(metadata={"help_text": "Its address."})
    words: str = field(metadata={"help_text": "The rule in words."})
    owner: str = field(metadata={"help_text": "In whose name it submits; empty for server code."})
    created_at: dt.datetime
    last_fired_at: dt.datetime | None
    next_run_at: dt.datetime | None = field(metadata={"help_text": "Null: it does not fire."})
    fault: str = field(metadata={"help_text": "Why it cannot submit its jobs; empty where all is well."})
    faulty_since: dt.datetime | None


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class FiringStatus(Answer):
    """One firing of a schedule, and what came of it. Times are in UTC."""

    due_at: dt.datetime = field(metadata={"help_text": "The moment for which it fired."})
    fired_at: dt.datetime
    outcome: str = field(metadata={"words": ScheduleFiring.Outcome.values})
    submitted: int = field(metadata={"help_text": "Jobs."})
    skipped: int = field(metadata={"help_text": "Organizations that got none."})
    job_id: str | None = field(metadata={"help_text": "The job, or the first of them; null once deleted."})
    note: str = field(metadata={"help_text": "Why it skipped or failed."})
    actor: str = field(metadata={"help_text": "Who had it fire by hand; empty for the scheduler."})


def rows_of(schedules: Sequence[Schedule], user: Any, address_of: Callable[[int], str]) -> list[dict[str, Any]]:
    """Return the schedules as a client reads them, with the ids of their organizations in one statement."""
    # None stands for all tenants; one that is gone has no id.
    ids: dict[Any, Any] = {None: None} | current_ids({row.organization_id for row in schedules} - {None})
    names = hidden_from(user)
    return [
        _described(
            ScheduleStatus,
            row,
            job_type=row.job_type_id,
            organization=ids.get(row.organization_id, ""),
            parameters=masked(row.parameters, names),
            priority=_word(row.priority),
            cron=row.cron or None,
            url=address_of(row.pk),
            words=rule_of(row).words(),
            owner=row.owner_name,
        )
        for row in schedules
    ]


def _word(priority: int | None) -> str | None:
    return None if priority is None else Priority(priority).word


def firings_of(firings: Sequence[ScheduleFiring], scope: Scope) -> list[dict[str, Any]]:
    """Return firings as a client reads them, with the ids of the jobs that the user may see in one statement."""
    pks = {firing.job_id for firing in firings if firing.job_id is not None}
    jobs = scope.jobs().filter(pk__in=pks).order_by() if pks else ()
    names = {job.pk: job.name for job in jobs if scope.shows(job)}
    return [_described(FiringStatus, firing, job_id=names.get(firing.job_id or 0)) for firing in firings]


def _described(kind: type[Answer], row: Any, **values: Any) -> dict[str, Any]:
    """Return an answer of ``values`` and the row's columns of the same names, with moments in UTC."""
    names = [item.name for item in dataclasses.fields(kind)]  # type: ignore[arg-type]
    told = {name: vars(row)[name] for name in names if name in vars(row)} | values
    moments = {name: value.astimezone(dt.UTC) for name, value in told.items() if isinstance(value, dt.datetime)}
    return kind(**told | moments).as_dict()


# Hand what came in over HTTP to the engine: a new schedule, or changes of one.


TYPE_IT: Final = "Type this value: what the schedule has there is hidden from you, and goes along only unchanged."
#: What PUT sets a field to that it does not have.
DEFAULTS: Final = {"jitter": 0, "catch_up": "once", "overlap": "skip", "is_enabled": True}


def _unmasked(edited: Any, schedule: Schedule, user: Any) -> Any:
    """Return the parameters to store: hidden values that come back as masks stay only if nothing else is changed."""
    try:
        return parameters_to_submit(edited, schedule.parameters, hidden_from(user) or NOTHING)
    except MasksLeft as error:
        raise InvalidSchedule({place: [TYPE_IT] for place in error.places}) from error


# The parameters of a list of schedules.


class ScheduleListFilter(ListFilter):
    """Finds schedules by the parameters of a list."""

    terms = {
        **ListFilter.terms,
        "job_type": TERMS["job_type"],
        "is_enabled": Term(CHOICE, "is_enabled", "enabled", "False: the paused ones"),
        SEARCH: Term(
            TEXT, lambda text: lambda rows: having(rows, text), SEARCH, "A part of the name or of the job type's name"
        ),
    }


# The bodies of schedules. Their form is judged here, what they say by the engine.


class RuleSerializer(StrictSerializer):
    """When a schedule fires: by ``cron`` in ``timezone``, or ``every`` so many seconds."""

    cron = serializers.CharField(
        required=False,
        allow_null=True,
        trim_whitespace=False,
        help_text="Five fields: minute, hour, day of the month, month, day of the week.",
    )
    every = serializers.IntegerField(required=False, allow_null=True, help_text="Seconds, in the place of cron.")
    timezone = serializers.CharField(
        required=False, allow_null=True, help_text="A name such as Europe/Berlin; by default that of the server."
    )
    starts_at = serializers.DateTimeField(
        required=False, allow_null=True, help_text="No firing before this moment (ISO 8601)."
    )
    ends_at = serializers.DateTimeField(required=False, allow_null=True, help_text="No firing after it.")


class ScheduleSerializer(RuleSerializer):
    """A schedule. What is not given has its default; PATCH leaves it as it is."""

    name = serializers.CharField(max_length=200, trim_whitespace=False, help_text="Unique in its organization.")
    job_type = serializers.CharField(max_length=100, help_text="The name of a job type.")
    # Answers have an empty text where a schedule's organization is gone: sent back, it must not stand for all.
    organization = serializers.CharField(
        max_length=255,
        required=False,
        allow_null=True,
        help_text="The id of an organization; null: a job for each active one (system admins).",
    )
    parameters = ObjectField(required=False, allow_null=True, help_text="A JSON object: what the job type asks for.")
    priority = PriorityInput(required=False, allow_null=True, help_text="By default the job type's.")
    jitter = serializers.IntegerField(required=False, help_text="Seconds over which one firing's jobs are spread.")
    catch_up = serializers.ChoiceField(
        choices=CatchUp.choices, required=False, help_text="What happens to firings that nobody was there for."
    )
    overlap = serializers.ChoiceField(
        choices=Overlap.choices, required=False, help_text="What a firing does while the last job is unfinished."
    )
    is_enabled = serializers.BooleanField(required=False, initial=True, help_text="False: it is paused.")

    def get_fields(self) -> dict[str, Any]:
        """Those of ScheduleStatus, some of which can be written. A schedule that is changed keeps its name."""
        fields = fields_of(ScheduleStatus, read_only=True) | super().get_fields()
        fields["name"].required = self.instance is None
        return fields


class FiringSerializer(StatusSerializer):
    """One firing of a schedule, and what came of it."""

    kind = FiringStatus


class PreviewSerializer(serializers.Serializer[Any]):
    """What a rule says, and when it fires next."""

    words = serializers.CharField()
    timezone = serializers.CharField()
    next_runs = serializers.ListField(child=serializers.DateTimeField(), help_text="In that time zone.")


# All routes of schedules.


class ScheduleViewSet(RowsView[Schedule]):
    """Schedules, which submit jobs by themselves: those of the organizations whose admin you are.

    System admins see all of them. You also see, pause and delete those that submit in your name.
    """

    queryset = Schedule.objects.none()  # for the schema, which is made without the database
    lookup_field = "id"
    filter_backends = [ScheduleListFilter]
    pagination_class = JobsPagination

    calls = {
        "list": ViewCall("list", answers={200: ScheduleSerializer}),
        "create": ViewCall("submit", ScheduleSerializer, {201: ScheduleSerializer}),
        "retrieve": ViewCall(answers={200: ScheduleSerializer}),
        **dict.fromkeys(
            ("update", "partial_update"), ViewCall("submit", ScheduleSerializer, {200: ScheduleSerializer})
        ),
        "destroy": ViewCall("cancel", answers={204: None}),
        **dict.fromkeys(("pause", "resume"), ViewCall("cancel", answers={200: ScheduleSerializer})),
        "fire": ViewCall("submit", answers={201: FiringSerializer, 202: FiringSerializer}),
        "firings": ViewCall(answers={200: FiringSerializer(many=True)}),
        "preview": ViewCall(takes=RuleSerializer, answers={200: PreviewSerializer}, query=RuleSerializer),
    }

    def get_object(self) -> Schedule:
        stops = self.action in {"retrieve", "firings", "pause", "destroy"}
        key = key_in(self.kwargs["id"])
        if key is None:
            raise not_found(self.kwargs["id"])
        return get_schedule(key, user=self.request.user, stops=stops)

    def list(self, request: Any, **kwargs: Any) -> Response:
        """The schedules that you see, by name."""
        page = (
            self.paginate_queryset(self.filter_queryset(scope_of(self.request).schedules().order_by("name", "pk")))
            or []
        )
        return self.get_paginated_response(rows_of(page, request.user, self._address_of))

    def create(self, request: Any, **kwargs: Any) -> Response:
        """Make a schedule."""
        body = self._described(create_schedule(self._given(), user=request.user))
        return Response(body, status=status.HTTP_201_CREATED, headers={"Location": body["url"]})

    def retrieve(self, request: Any, **kwargs: Any) -> Response:
        """A schedule, and when it fires next."""
        return Response(self._described(self.get_object()))

    def update(self, request: Any, *, partial: bool = False, **kwargs: Any) -> Response:
        """Change a schedule. What the body does not have is set to its default."""
        schedule = self.get_object()
        given = self._given(schedule, partial=partial)
        if not partial:
            own = {"name": schedule.name, "job_type": schedule.job_type_id}
            given = {**dict.fromkeys(FIELDS), **DEFAULTS, **own, **given}
        if given.get("parameters") is not None:
            given["parameters"] = _unmasked(given["parameters"], schedule, request.user)
        return Response(self._described(change_schedule(schedule, given, user=request.user)))

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
        return self._set_paused(True)

    @action(detail=True, methods=["post"])
    def resume(self, request: Any, **kwargs: Any) -> Response:
        """Let a paused schedule fire again, from now on: what was due meanwhile is not caught up."""
        return self._set_paused(False)

    @action(detail=True, methods=["post"])
    def fire(self, request: Any, **kwargs: Any) -> Response:
        """Fire a schedule now, paused or not. Its next firing stays when it is."""
        self.get_body()
        firing = fire_now(self.get_object(), user=request.user)
        code = status.HTTP_201_CREATED if firing.submitted else status.HTTP_202_ACCEPTED
        return Response(firings_of([firing], scope_of(request))[0], status=code)

    @action(detail=True, methods=["get"], filter_backends=[])
    def firings(self, request: Any, **kwargs: Any) -> Response:
        """The firings of a schedule, the newest first. The newest 1,000 are kept."""
        self.get_parameters()
        rows = ScheduleFiring.primary.filter(schedule_id=self.get_object().pk).order_by("-pk")
        page: Any = self.paginate_queryset(rows) or []  # type: ignore[arg-type]
        return self.get_paginated_response(firings_of(page, scope_of(request)))

    @action(detail=False, methods=["get", "post"], filter_backends=[], pagination_class=None)
    def preview(self, request: Any, **kwargs: Any) -> Response:
        """What a rule says in words, and its next five firings. Nothing is stored."""
        rule, next_runs = preview(self.get_body() if request.method == "POST" else self.get_parameters())
        runs = [run.isoformat() for run in next_runs]  # in the rule's own time zone
        return Response({"words": rule.words(), "timezone": rule.timezone, "next_runs": runs})

    def _set_paused(self, value: bool) -> Response:
        self.get_body()
        set_paused("schedule", self.get_object(), value, user=self.request.user)
        return Response(self._described(self.get_object()))

    def _address_of(self, pk: int) -> str:
        return self.reverse_action("detail", kwargs={"id": pk})

    def _described(self, schedule: Schedule) -> dict[str, Any]:
        return rows_of([schedule], self.request.user, self._address_of)[0]

    def _given(self, schedule: Schedule | None = None, **options: Any) -> dict[str, Any]:
        """Return the fields of the body, whose organization the user may know of."""
        given = self.get_body(schedule, **options)
        if given.get("organization"):
            check_organization(given["organization"], scope_of(self.request))
        return given
