"""The bodies that go in and out over HTTP."""

from __future__ import annotations

from typing import Any, ClassVar, Final

from django.core.exceptions import ValidationError as DjangoValidationError
from django.db import models
from django.utils import translation
from rest_framework import serializers
from rest_framework.fields import empty

from django_jobs.api.fields import (
    JobIdsField,
    PriorityInput,
    SwitchField,
    fields_of,
    is_form,
    refuse_repeated,
    refuse_unknown,
)
from django_jobs.api.scope import job_types_to_choose, organization_ids
from django_jobs.engine.access import get_policy
from django_jobs.engine.insight.inspection import open_breakers
from django_jobs.engine.insight.problems import unknown_permissions
from django_jobs.engine.job_types.parameters import parameters_schema
from django_jobs.exceptions import InvalidOperation, InvalidSubmission
from django_jobs.models import JobType
from django_jobs.models.job_type import NO_LIMIT_OF_ZERO, NO_ZERO
from django_jobs.statuses import BreakerState

#: What a browser's form sends besides its fields.
FORM_EXTRAS: Final = frozenset({"csrfmiddlewaretoken"})


class StrictSerializer(serializers.Serializer[Any]):
    """Refuses a field that it does not have, or that a form repeats; the REST framework would ignore a part of it."""

    def to_internal_value(self, data: Any) -> Any:
        """Return the values of the fields; ValidationError also for a field that there is not."""
        if hasattr(data, "keys"):
            extras = FORM_EXTRAS if is_form(data) else ()
            refuse_unknown([name for name in data if name not in extras], self.fields)
        if is_form(data):
            refuse_repeated(data, {name for name, field in self.fields.items() if isinstance(field, JobIdsField)})
        return super().to_internal_value(data)


class RefusableSerializer(StrictSerializer):
    """What the engine refuses is shown beside the fields of its form."""

    def __getitem__(self, key: str) -> Any:
        """Return a field for a form; errors inside it, such as ``parameters.template``, stand beside it."""
        field: Any = super().__getitem__(key)
        errors = getattr(self, "_errors", {})  # a form that was not sent yet has none
        inside = [(name, texts) for name, texts in errors.items() if name.startswith(f"{key}.")]
        lines = [f"{name.removeprefix(f'{key}.')}: {text}" for name, texts in inside for text in texts]
        field.errors = [*(field.errors or []), *lines]
        return field

    def refusal(self, error: InvalidSubmission | InvalidOperation) -> serializers.ValidationError:
        """Return the engine's errors as errors of this serializer, so that a form shows them beside its fields."""
        self._errors = {name: list(texts) for name, texts in error.errors.items()}
        return serializers.ValidationError(self.errors)


def type_options(user: Any) -> list[tuple[str, str]]:
    """Return the job types that a form offers this user."""
    return [(kind.pk, f"{kind} ({kind.pk})") for kind in job_types_to_choose(user)]


def organization_options(user: Any) -> list[tuple[str, str]]:
    """Return the organizations that a form offers this user."""
    return [(name, name) for name in organization_ids(user)]


class StatusSerializer(serializers.Serializer[Any]):
    """What is answered as one of ``django_jobs.values``, which is ``kind``."""

    kind: ClassVar[type[Any]]

    def get_fields(self) -> dict[str, Any]:
        """Those of ``kind``; what a subclass declares by the same name takes that field's place."""
        return {**fields_of(self.kind), **super().get_fields()}

    def to_representation(self, instance: Any) -> dict[str, Any]:
        described: dict[str, Any] = instance.as_dict()
        return described


class NothingSerializer(StrictSerializer):
    """A call that takes no fields."""


def limits_of_zero() -> dict[str, str]:
    """Return by field what the model says of a limit of 0; the REST framework has words of its own for that."""
    fields: list[Any] = list(JobType._meta.concrete_fields)
    limits = (NO_LIMIT_OF_ZERO, NO_ZERO)
    return {item.name: str(own.message) for item in fields for own in item.validators if own in limits}


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

    serializer_field_mapping = {
        **serializers.ModelSerializer.serializer_field_mapping,
        models.BooleanField: SwitchField,
    }
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
        extra_kwargs: dict[str, dict[str, Any]] = {
            "is_enabled": {"initial": True},
            **{name: {"error_messages": {"min_value": text}} for name, text in limits_of_zero().items()},
        }

    def to_representation(self, instance: JobType) -> dict[str, Any]:
        """Return the type's fields; the path of its handler is blank but for system admins."""
        told = super().to_representation(instance)
        return told if self._is_for_system_admin() else {**told, "handler_method": ""}

    def _is_for_system_admin(self) -> bool:
        context: Any = self.context  # one for all types of a list
        if "is_for_system_admin" not in context:
            user = getattr(context.get("request"), "user", None)
            context["is_for_system_admin"] = user is not None and get_policy().is_system_admin(user)
        return bool(context["is_for_system_admin"])

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
