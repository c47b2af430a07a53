"""Bodies that have a serializer for the schema alone; the views build them by hand.

A docstring of a serializer becomes its description in the schema, so those whose fields say all have none.
"""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from django_jobs.api.fields import WordField
from django_jobs.api.serializers import ListedJobSerializer
from django_jobs.statuses import ActorKind, Status


class LogSerializer(serializers.Serializer[Any]):
    """One change of a job's status."""

    id = serializers.IntegerField()
    from_status = serializers.CharField(help_text="Empty for the submission.")
    to_status = WordField(words=Status.values)
    timestamp = serializers.DateTimeField()
    actor = serializers.CharField()
    actor_kind = WordField(words=ActorKind.values)
    message = serializers.CharField()
    attempt = serializers.IntegerField()


class HistorySerializer(serializers.Serializer[Any]):
    job_id = serializers.CharField()
    history = LogSerializer(many=True)
    next = serializers.URLField(allow_null=True, help_text="Where the rows that follow are; null: there are none.")


class TimesSerializer(serializers.Serializer[Any]):
    average_seconds = serializers.FloatField(allow_null=True)
    p95_seconds = serializers.FloatField(allow_null=True)


class MetricsSerializer(serializers.Serializer[Any]):
    job_count_by_status = serializers.DictField(child=serializers.IntegerField())
    queue_depth_by_priority = serializers.DictField(child=serializers.IntegerField())
    processing_time = TimesSerializer()
    processing_time_by_type = serializers.DictField(child=TimesSerializer())
    failure_rate_by_type = serializers.DictField(child=serializers.FloatField(min_value=0, max_value=1))
    active_workers = serializers.IntegerField()
    throughput_per_minute = serializers.FloatField()
    oldest_waiting_seconds = serializers.FloatField(allow_null=True)
    timestamp = serializers.DateTimeField()


class TicketSerializer(serializers.Serializer[Any]):
    ticket = serializers.CharField()
    expires_in = serializers.IntegerField(help_text="Seconds.")


class JobIdSerializer(serializers.Serializer[Any]):
    job_id = serializers.CharField()


class ToldSerializer(serializers.Serializer[Any]):
    job_id = serializers.CharField()
    status = serializers.CharField()
    message = serializers.CharField()


class JobPageSerializer(serializers.Serializer[Any]):
    jobs = ListedJobSerializer(many=True)
    total = serializers.IntegerField()
    limit = serializers.IntegerField()
    offset = serializers.IntegerField()


class MethodErrorSerializer(serializers.Serializer[Any]):
    exc_type = serializers.CharField()
    message = serializers.CharField()
    existing_job_id = serializers.CharField(required=False)


METRICS: dict[str, Any] = {
    "job_count_by_status": {"Running": 8, "Queued": 15, "Dead Letter": 3},
    "queue_depth_by_priority": {"Critical": 1, "High": 5, "Normal": 8, "Low": 1},
    "processing_time": {"average_seconds": 4.5, "p95_seconds": 12.3},
    "processing_time_by_type": {"pdf_generation": {"average_seconds": 4.5, "p95_seconds": 12.3}},
    "failure_rate_by_type": {"pdf_generation": 0.02},
    "active_workers": 4,
    "throughput_per_minute": 31.5,
    "oldest_waiting_seconds": 0.8,
    "timestamp": "2026-01-05T09:00:00.120000Z",
}
