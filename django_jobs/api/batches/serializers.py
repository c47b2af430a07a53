"""The bodies of batches that go in and out over HTTP."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from django_jobs.api.dataclass_fields import fields_of
from django_jobs.api.fields import NameField, ObjectField
from django_jobs.api.serializers import (
    RefusableSerializer,
    StrictSerializer,
    SubmissionSerializer,
    organization_options,
)
from django_jobs.engine.batches import MAX_NAME
from django_jobs.engine.submission.targets import ASKED
from django_jobs.statuses import OpenTo
from django_jobs.values import BatchStatus


class FollowUpSerializer(StrictSerializer):
    """A submission that is made at a batch's end, for the batch's organization."""

    def get_fields(self) -> dict[str, Any]:
        """Return those of a submission but for what the batch decides."""
        fields = SubmissionSerializer().get_fields()
        return {name: fields[name] for name in ("job_type", "parameters", "priority", "run_at", "metadata")}


class FollowUpField(ObjectField):
    """Accept a submission as an object, or as its text in a form."""

    def __init__(self, **kwargs: Any) -> None:
        kwargs.setdefault("style", {"base_template": "textarea.html", "rows": 5})
        kwargs.setdefault("initial", None)
        super().__init__(**kwargs)

    def to_internal_value(self, data: Any) -> Any:
        value = super().to_internal_value(data)
        return None if value is None else dict(FollowUpSerializer().run_validation(value))


_WHEN = "A submission without organization, as a JSON object: {}"


class NewBatchSerializer(RefusableSerializer):
    """A batch that is to be made. Its form is judged here, what it asks for by the engine."""

    organization = NameField(
        options=organization_options, at_most=ASKED, max_length=255, help_text="The id of an organization."
    )
    name = serializers.CharField(required=False, allow_blank=True, max_length=MAX_NAME, help_text="A title.")
    open_to = serializers.ChoiceField(
        required=False,
        choices=OpenTo.choices,
        help_text="Whose jobs it takes beside those of server code.",
    )
    then = FollowUpField(
        required=False, allow_null=True, help_text=_WHEN.format("made once, when all jobs have completed.")
    )
    on_failure = FollowUpField(
        required=False, allow_null=True, help_text=_WHEN.format("made once, when all jobs have ended and some failed.")
    )

    def to_internal_value(self, data: Any) -> Any:
        """Return the values; errors inside of ``then`` are named ``then.job_type``, as the engine names its own."""
        try:
            return super().to_internal_value(data)
        except serializers.ValidationError as error:
            raise serializers.ValidationError(_flat(error.detail)) from error


def _flat(errors: Any) -> dict[str, Any]:
    """Return the errors with those of an inner object beside the others."""
    found: dict[str, Any] = {}
    for name, texts in errors.items():
        inside = texts if isinstance(texts, dict) else {}
        found |= {f"{name}.{field}": more for field, more in inside.items()} or {name: texts}
    return found


class BatchSerializer(serializers.Serializer[Any]):
    """The fields of BatchStatus. Times are in UTC."""

    def get_fields(self) -> dict[str, Any]:
        """Return those of BatchStatus."""
        return fields_of(BatchStatus)

    def to_representation(self, instance: Any) -> dict[str, Any]:
        described: dict[str, Any] = instance.as_dict()
        return described
