"""The bodies of schedules. Their form is judged here, what they say by the engine."""

from __future__ import annotations

from typing import Any, Final

from rest_framework import serializers

from django_jobs.api.fields import NameField, ObjectField, PriorityInput, SwitchField, WordField, is_form
from django_jobs.api.serializers import RefusableSerializer, organization_options, type_options
from django_jobs.engine.store.organization_ids import current_ids
from django_jobs.engine.submission.targets import ASKED
from django_jobs.models import ScheduleFiring
from django_jobs.models.schedule import CatchUp, Overlap

LINE: Final = {"base_template": "input.html", "input_type": "text"}


def tenant_options(user: Any) -> list[tuple[str, str]]:
    """Return the organizations to choose from in a form, and all of them together."""
    return [("", "Each active organization"), *organization_options(user)]


class BlankIsNone:
    """Take an empty text, which is all that a form can send for nothing, for null."""

    def run_validation(self, data: Any = serializers.empty) -> Any:
        return super().run_validation(None if data == "" else data)  # type: ignore[misc]


class OptionalName(NameField):
    """A name, or nothing: null, which a form sends as an empty text.

    In JSON an empty text is refused, since answers have one where a schedule's organization is gone: sent back, it must
    not stand for all organizations. The form of such a schedule shows the same, so there it is refused as well.
    """

    default_error_messages = {"blank": "Name an organization, or send null as JSON: a job for each active one."}

    def get_value(self, dictionary: Any) -> Any:
        if is_form(dictionary) and dictionary.get(self.field_name) == "":
            return "" if self._is_gone() else None
        return super().get_value(dictionary)

    def _is_gone(self) -> bool:
        """Return whether a schedule is changed whose organization is gone."""
        schedule: Any = self.parent.instance
        pk = None if schedule is None else schedule.organization_id
        return pk is not None and not current_ids([pk])


class OptionalNumber(BlankIsNone, serializers.IntegerField):
    """A whole number, or nothing."""


class OptionalMoment(BlankIsNone, serializers.DateTimeField):
    """A moment, or nothing."""


class OptionalText(BlankIsNone, serializers.CharField):
    """A text, or nothing."""


class RuleSerializer(RefusableSerializer):
    """When a schedule fires: by ``cron`` in ``timezone``, or ``every`` so many seconds."""

    cron = OptionalText(
        required=False,
        allow_null=True,
        trim_whitespace=False,
        help_text="Five fields: minute, hour, day of the month, month, day of the week.",
    )
    every = OptionalNumber(required=False, allow_null=True, help_text="Seconds, in the place of cron.")
    timezone = OptionalText(
        required=False, allow_null=True, help_text="A name such as Europe/Berlin; by default that of the server."
    )
    starts_at = OptionalMoment(
        required=False, allow_null=True, style=LINE, help_text="No firing before this moment (ISO 8601)."
    )
    ends_at = OptionalMoment(required=False, allow_null=True, style=LINE, help_text="No firing after it.")


class ScheduleSerializer(RuleSerializer):
    """A schedule. What is not given has its default; PATCH leaves it as it is."""

    id = serializers.IntegerField(read_only=True)
    name = serializers.CharField(max_length=200, trim_whitespace=False, help_text="Unique in its organization.")
    job_type = NameField(options=type_options, max_length=100, help_text="The name of a job type.")
    organization = OptionalName(
        options=tenant_options,
        at_most=ASKED,
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
    is_enabled = SwitchField(required=False, initial=True, help_text="False: it is paused.")
    url = serializers.URLField(read_only=True, help_text="Its address.")
    words = serializers.CharField(read_only=True, help_text="The rule in words.")
    owner = serializers.CharField(read_only=True, help_text="In whose name it submits; empty for server code.")
    created_at = serializers.DateTimeField(read_only=True)
    last_fired_at = serializers.DateTimeField(read_only=True, allow_null=True)
    next_run_at = serializers.DateTimeField(read_only=True, allow_null=True, help_text="Null: it does not fire.")
    fault = serializers.CharField(read_only=True, help_text="Why it cannot submit its jobs; empty where all is well.")
    faulty_since = serializers.DateTimeField(read_only=True, allow_null=True)

    def get_fields(self) -> dict[str, Any]:
        """Put id and name first, and do not ask for the name where a schedule is changed: it keeps its own."""
        fields = super().get_fields()
        order = ("id", "name", "job_type", "organization", "parameters", "priority")
        found = {name: fields.pop(name) for name in order} | fields
        found["name"].required = self.instance is None
        return found

    def to_representation(self, instance: Any) -> dict[str, Any]:
        described: dict[str, Any] = instance if isinstance(instance, dict) else super().to_representation(instance)
        return described


class FiringSerializer(serializers.Serializer[Any]):
    """One firing of a schedule, and what came of it."""

    due_at = serializers.DateTimeField(help_text="The moment for which it fired.")
    fired_at = serializers.DateTimeField()
    outcome = WordField(words=ScheduleFiring.Outcome.values)
    submitted = serializers.IntegerField(help_text="Jobs.")
    skipped = serializers.IntegerField(help_text="Organizations that got none.")
    job_id = serializers.CharField(allow_null=True, help_text="The job, or the first of them; null once deleted.")
    note = serializers.CharField(help_text="Why it skipped or failed.")
    actor = serializers.CharField(help_text="Who had it fire by hand; empty for the scheduler.")


class PreviewSerializer(serializers.Serializer[Any]):
    """What a rule says, and when it fires next."""

    words = serializers.CharField()
    timezone = serializers.CharField()
    next_runs = serializers.ListField(child=serializers.DateTimeField(), help_text="In that time zone.")
