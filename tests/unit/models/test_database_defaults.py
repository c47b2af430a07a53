"""An insert by another release, which does not know some column, is not refused for that."""

from __future__ import annotations

from typing import Final

from django.apps import apps

#: What every insert must say, since nothing could be true of all rows. It was there from the first release on: a column
#: that comes later cannot be among these.
ALWAYS_GIVEN: Final = {
    "AttemptLog": {"id", "job", "attempt", "first_lines", "last_lines"},
    "Breaker": {"job_type"},
    "Batch": {"id", "organization", "organization_name", "created_at"},
    "Alert": {"id", "rule", "raised_at", "seen_at"},
    "BatchChange": {"id", "batch_id", "changed_at"},
    "DependencyTask": {"id", "job_id"},
    "DuplicateGate": {"id"},
    "DuplicateKey": {"key", "job_id", "expires_at"},
    "EngineLease": {"name"},
    "ExecutionLog": {"id", "job", "to_status", "timestamp", "actor", "organization"},
    "FileDeletion": {"job_id", "organization_pk"},
    "Installation": {"id", "installation_id"},
    "Job": {"id", "job_type", "organization", "organization_name", "created_at"},
    "JobCheckpoint": {"job", "data", "attempt", "saved_at"},
    "JobDependency": {"id", "child", "parent"},
    "JobStep": {"id", "job", "position", "name", "attempt", "done_at"},
    "JobType": {"type_name", "handler_method"},
    "Membership": {"id", "user", "organization"},
    # Its fields are those of hosts' models too, which have migrations of their own.
    "Organization": {"id", "name", "title", "is_active"},
    "OrganizationActivity": {"id", "span", "starts_at", "job_type", "organization", "organization_name"},
    "Operation": {"id", "user_name", "started_at", "released_until", "last_id"},
    "SavedFilter": {"id", "user", "name", "query"},
    "Schedule": {"id", "name", "job_type", "created_at"},
    "ScheduleFiring": {"id", "schedule", "due_at", "fired_at", "outcome"},
    "ScheduledJob": {"id", "schedule", "organization_key", "job_id"},
    "SocketTicket": {"digest", "user", "expires_at"},
    "TypeActivity": {"id", "span", "starts_at", "job_type"},
    "Worker": {"name", "hostname", "pid", "queues", "started_at", "last_seen"},
    "WorkerOrder": {"supervisor", "hostname", "order", "ordered_at"},
}


def test_every_column_that_may_not_be_null_has_a_default_in_the_database() -> None:
    models = [model for model in apps.get_app_config("django_jobs").get_models() if not model._meta.proxy]
    lacking = {
        model.__name__: {
            field.name for field in model._meta.local_concrete_fields if not field.null and not field.has_db_default()
        }
        for model in models
    }
    assert lacking == ALWAYS_GIVEN
