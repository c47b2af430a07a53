"""The bodies of operations that go in and out over HTTP."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from django_jobs.api.dataclass_fields import fields_of
from django_jobs.api.fields import ObjectField, PriorityInput
from django_jobs.api.serializers import RefusableSerializer
from django_jobs.engine.control.operations import MAX_PER_MINUTE
from django_jobs.models import Operation
from django_jobs.values import OperationStatus


class NewOperationSerializer(RefusableSerializer):
    """An operation that is to be started. Its form is judged here, what it asks for by the engine."""

    action = serializers.ChoiceField(choices=Operation.Action.choices, help_text="What is done to each job.")
    filters = ObjectField(
        help_text='A JSON object with the parameters of the list of jobs, such as {"status": "Dead Letter", '
        '"job_type": "send_mail"}; {"all": true} for all jobs.'
    )
    value = PriorityInput(required=False, allow_null=True, help_text="The new priority, for set_priority alone.")
    rate = serializers.IntegerField(
        required=False,
        allow_null=True,
        min_value=1,
        max_value=MAX_PER_MINUTE,
        help_text="Jobs a minute; nothing: as fast as it goes.",
    )
    stop_above = serializers.FloatField(
        required=False,
        allow_null=True,
        help_text="Stop by itself when a larger share of the jobs fails, from 0 to 1; for retry and run_now.",
    )
    try_first = serializers.BooleanField(
        required=False, default=False, help_text="Do one job, and the others when it has completed."
    )
    dry_run = serializers.BooleanField(
        required=False, default=False, help_text="Only count the jobs, and say how long it would take."
    )


class OperationSerializer(serializers.Serializer[Any]):
    """The fields of OperationStatus. Times are in UTC."""

    def get_fields(self) -> dict[str, Any]:
        """Return those of OperationStatus."""
        return fields_of(OperationStatus)

    def to_representation(self, instance: Any) -> dict[str, Any]:
        described: dict[str, Any] = instance.as_dict()
        return described


class EstimateSerializer(serializers.Serializer[Any]):
    """What an operation would do."""

    count = serializers.IntegerField(help_text="How many jobs it would act on now.")
    count_capped = serializers.BooleanField(
        help_text="Whether there may be more, since counting all would take too long."
    )
    eta_seconds = serializers.FloatField(help_text="How long it would take, about; of a capped count, at least.")
