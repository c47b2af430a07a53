"""Job types over HTTP: read by who may submit them, written by system admins."""

from __future__ import annotations

from typing import Any, ClassVar

from django.core.exceptions import ValidationError as DjangoValidationError
from django.db.models import ProtectedError
from django.http import Http404
from django.utils import translation
from rest_framework import serializers, status
from rest_framework.fields import empty
from rest_framework.permissions import IsAuthenticated
from rest_framework.response import Response

from django_jobs.api.base import RowsView, SystemAdminOrReadOnly, ViewCall
from django_jobs.api.errors import JobTypeInUse
from django_jobs.api.fields import PriorityInput, StrictSerializer
from django_jobs.api.pagination import JobsPagination
from django_jobs.engine.control import audit
from django_jobs.engine.control.switches import SWITCHES, set_switch, write_type
from django_jobs.engine.insight.inspection import has_jobs, open_breakers
from django_jobs.engine.insight.problems import unknown_permissions
from django_jobs.engine.job_types.parameters import parameters_schema
from django_jobs.engine.scope import Scope, scope_of
from django_jobs.engine.store import database
from django_jobs.models import JobType
from django_jobs.models.job_type import NO_LIMIT_OF_ZERO
from django_jobs.statuses import BreakerState

# The bodies of job types.


class BreakerSerializer(serializers.Serializer[Any]):
    """A breaker that holds the jobs of a type: ``failures`` attempts in a row ended with ``error_message``.

    ``organization`` is the only one whose jobs it holds; blank: it holds all.
    """

    organization = serializers.CharField(allow_blank=True)
    state = serializers.ChoiceField([str(item) for item in BreakerState if item != BreakerState.CLOSED])
    since = serializers.DateTimeField()
    next_try_at = serializers.DateTimeField(allow_null=True)
    error_message = serializers.CharField()
    failures = serializers.IntegerField()

    def get_attribute(self, instance: JobType) -> Any:
        """Return what holds the type's jobs, for system admins; None where nothing does, and to all others."""
        kinds: Any = self.parent
        return kinds.breaker_of(instance)


class JobTypeSerializer(StrictSerializer, serializers.ModelSerializer[JobType]):
    """A job type; ``parameters_schema`` is a JSON Schema, or null where any object is accepted.

    What is not given has its default; PATCH leaves it as it is.
    """

    default_priority = PriorityInput(required=False)
    breaker = BreakerSerializer(
        read_only=True,
        allow_null=True,
        help_text="What holds the type's jobs. Null where nothing does, and to all but system admins.",
    )
    parameters_schema = serializers.SerializerMethodField()

    class Meta:
        model = JobType
        own_fields = [field.name for field in JobType._meta.concrete_fields if field.editable]
        fields = [*own_fields, "breaker", "parameters_schema"]
        # The REST framework has words of its own for a limit of 0, which do not say what to do.
        extra_kwargs: ClassVar[dict[str, Any]] = {"is_enabled": {"initial": True}} | {
            item.name: {"error_messages": {"min_value": str(getattr(limit, "message", ""))}}
            for item in JobType._meta.concrete_fields
            for limit in item.validators
            if limit == NO_LIMIT_OF_ZERO
        }

    def to_representation(self, instance: JobType) -> dict[str, Any]:
        """Return the type's fields; the path of its handler is blank but for system admins."""
        told = super().to_representation(instance)
        return told if self._is_for_system_admin() else {**told, "handler_method": ""}

    def _is_for_system_admin(self) -> bool:
        request = self.context.get("request")  # a schema is made without one
        return request is not None and scope_of(request).is_system_admin

    def breaker_of(self, kind: JobType) -> Any:
        """Return the breaker that holds the type's jobs, for system admins; None where none does, and to all others."""
        if not self._is_for_system_admin():
            return None
        context: Any = self.context
        if "breakers" not in context:
            context["breakers"] = {item.job_type: item for item in open_breakers(counts_waiting=False)}
        return context["breakers"].get(kind.pk)

    def get_parameters_schema(self, kind: JobType) -> dict[str, Any] | None:
        """A JSON Schema (draft 2020-12), or null where any object is accepted."""
        return parameters_schema(kind.pk)

    def run_validation(self, data: Any = empty) -> Any:
        with translation.override(None):  # the model's own messages are translated, and the API's are not
            return super().run_validation(data)

    def validate_type_name(self, name: str) -> str:
        """Return the name; ValidationError when it is not the one that an existing type has."""
        if self.instance is not None and name != self.instance.pk:
            raise serializers.ValidationError("A job type keeps its name; make another one instead.", "keeps_name")
        return name

    def validate_requires_permission(self, name: str) -> str:
        """Return the permission; ValidationError when it is new to the type, and no permission."""
        is_new = self.instance is None or name != self.instance.requires_permission
        if is_new and unknown_permissions([name]):
            text = "There is no such permission: use app_label.codename, or leave it blank."
            raise serializers.ValidationError(text, "unknown_permission")
        return name

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        kind = JobType() if self.instance is None else JobType.primary.get(pk=self.instance.pk)
        is_new = self.instance is None
        if not (is_new or self.partial):
            attrs = {**self._defaults_of(kind), **attrs}
        # What the row has already is accepted, such as the name of a task's type, which nobody could give.
        new = {name for name, value in attrs.items() if value != getattr(kind, name)}
        same = {field.name for field in JobType._meta.concrete_fields} - new
        for name, value in attrs.items():
            setattr(kind, name, value)
        try:
            kind.full_clean(exclude=() if is_new else same, validate_unique=is_new)
        except DjangoValidationError as error:
            raise serializers.ValidationError(serializers.as_serializer_error(error)) from error
        return attrs

    def _defaults_of(self, kind: JobType) -> dict[str, Any]:
        """Return what PUT sets fields to that it does not have: what code declares of the type, else their defaults.

        So a type that its code closes to users stays closed.
        """
        names = [name for name, field in self.fields.items() if not (field.read_only or field.required)]
        declared = kind.declared if isinstance(kind.declared, dict) else {}
        defaults = {field.name: field.get_default() for field in JobType._meta.concrete_fields}
        return {name: declared.get(name, defaults[name]) for name in names}


# The routes of job types.


def job_types_for(scope: Scope) -> list[JobType]:
    """Return the job types that the user may submit in some organization, by name.

    System admins get all of them, also those that they may not submit, since they write them.
    """
    rows = list(JobType.primary.order_by("pk"))
    if scope.is_system_admin:
        return rows
    return scope.submittable([kind for kind in rows if kind.is_enabled])


class JobTypeViewSet(RowsView[JobType]):
    """The kinds of jobs that you may submit. Their `parameters_schema` is a JSON Schema, or null."""

    permission_classes = [IsAuthenticated, SystemAdminOrReadOnly]
    pagination_class = JobsPagination
    filter_backends = []
    lookup_field = "type_name"
    queryset = JobType.objects.none()
    calls = {
        "list": ViewCall("list", answers={200: JobTypeSerializer}),
        "create": ViewCall("submit", JobTypeSerializer, {201: JobTypeSerializer}),
        "retrieve": ViewCall(answers={200: JobTypeSerializer}),
        **dict.fromkeys(("update", "partial_update"), ViewCall("submit", JobTypeSerializer, {200: JobTypeSerializer})),
        "destroy": ViewCall("submit", answers={204: None}),
    }

    def get_object(self) -> JobType:
        for kind in job_types_for(scope_of(self.request)):
            if kind.pk == self.kwargs["type_name"]:
                return kind
        raise Http404

    def list(self, request: Any, **kwargs: Any) -> Response:
        """The job types that you may submit; to system admins all of them."""
        self.get_parameters()
        page: Any = self.paginate_queryset(job_types_for(scope_of(request)))
        return self.get_paginated_response(self._read(page, many=True).data)

    def retrieve(self, request: Any, **kwargs: Any) -> Response:
        """A job type, with the JSON Schema of its parameters."""
        return Response(self._read(self.get_object()).data)

    def create(self, request: Any, **kwargs: Any) -> Response:
        """Make a job type. System admins may."""
        serializer = self._read(data=request.data)
        serializer.is_valid(raise_exception=True)

        def create() -> None:
            audit.record(request.user, [serializer.save()], audit.Act.ADDED, [{"added": {}}])

        database.in_transaction(create)
        return Response(serializer.data, status=status.HTTP_201_CREATED)

    def update(self, request: Any, *, partial: bool = False, **kwargs: Any) -> Response:
        """Change a job type. System admins may.

        What the body does not have is set to what its code declares, or else to its default.
        """
        serializer = self._read(self.get_object(), data=request.data, partial=partial)
        serializer.is_valid(raise_exception=True)
        self._update(serializer)
        return Response(serializer.data)

    def partial_update(self, request: Any, **kwargs: Any) -> Response:
        """Change some fields of a job type. System admins may."""
        return self.update(request, partial=True, **kwargs)

    def destroy(self, request: Any, **kwargs: Any) -> Response:
        """Delete a job type that has no jobs. System admins may."""
        kind = self.get_object()
        # This is asked first, because a deletion that is refused reads every job of the type.
        if has_jobs(job_type=kind):
            raise JobTypeInUse
        try:
            database.in_transaction(lambda: self._destroy(kind))
        except ProtectedError as error:
            raise JobTypeInUse from error
        return Response(status=status.HTTP_204_NO_CONTENT)

    def _read(self, *given: Any, **options: Any) -> Any:
        return JobTypeSerializer(*given, context=self.get_serializer_context(), **options)

    def _update(self, serializer: Any) -> None:
        kind, user = serializer.instance, self.request.user
        given = {name: value for name, value in serializer.validated_data.items() if getattr(kind, name) != value}

        def update() -> None:
            fields = [name for name in given if name not in SWITCHES]
            for name, value in given.items():
                if name in SWITCHES:
                    set_switch(kind, name, value, user=user)
                setattr(kind, name, value)
            write_type(kind, fields)
            changed = [kind] if fields else []
            audit.record(user, changed, audit.Act.CHANGED, [{"changed": {"fields": fields}}])

        database.in_transaction(update)
        kind.refresh_from_db(using=database.alias())  # the answer tells what others changed meanwhile, too

    def _destroy(self, kind: JobType) -> None:
        audit.record(self.request.user, [kind], audit.Act.DELETED)
        kind.delete()
