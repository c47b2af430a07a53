"""Every column that has a default gets it in the database too.

So another release's insert may leave out a column that it does not know: a new one, or one that is no more.
"""

from __future__ import annotations

from django.db import migrations

from django_jobs.migrations._database_defaults import SetDatabaseDefaults


class Migration(migrations.Migration):
    dependencies = [("django_jobs", "0003_new_columns")]

    operations = [
        SetDatabaseDefaults("enginelease", {"holder": "", "state": {}}),
        SetDatabaseDefaults(
            "executionlog", {"attempt": 0, "from_status": "", "message": "", "traceback": "", "worker_name": ""}
        ),
        SetDatabaseDefaults(
            "job",
            {
                "attempt": 0,
                "canceled_by": "",
                "error_fingerprint": "",
                "error_message": "",
                "error_type": "",
                "has_children": False,
                "input_parameters": {},
                "is_orphaned": False,
                "job_hash": "",
                "max_retries": 5,
                "metadata": {},
                "output_reference": "",
                "owner_name": "",
                "priority": 1,
                "progress": 0,
                "progress_message": "",
                "retry_count": 0,
                "retry_delay": 60,
                "status": "Pending",
                "timeout_seconds": 300,
                "worker_name": "",
            },
        ),
        SetDatabaseDefaults(
            "jobtype",
            {
                "deduplication_window": 300,
                "default_priority": 1,
                "default_timeout": 300,
                "description": "",
                "display_name": "",
                "is_enabled": True,
                "is_paused": False,
                "max_retries": 5,
                "rate_limit_window": 60,
                "requires_permission": "",
                "retry_delay": 60,
            },
        ),
        SetDatabaseDefaults("membership", {"role": "member"}),
        SetDatabaseDefaults(
            "organizationactivity",
            {
                "canceled": 0,
                "completed": 0,
                "died": 0,
                "failed": 0,
                "run_histogram": {},
                "run_seconds": 0.0,
                "started": 0,
                "submitted": 0,
                "wait_histogram": {},
                "wait_seconds": 0.0,
            },
        ),
        SetDatabaseDefaults(
            "replay",
            {
                "changed": 0,
                "error_fingerprint": "",
                "error_message": "",
                "has_more": False,
                "note": "",
                "position": 0,
                "refused": {},
                "state": "running",
                "total": 0,
                "verb": "retry",
            },
        ),
        SetDatabaseDefaults("socketticket", {"credential": "", "session_auth_hash": ""}),
        SetDatabaseDefaults(
            "typeactivity",
            {
                "canceled": 0,
                "completed": 0,
                "died": 0,
                "failed": 0,
                "run_histogram": {},
                "run_seconds": 0.0,
                "started": 0,
                "submitted": 0,
                "wait_histogram": {},
                "wait_seconds": 0.0,
            },
        ),
        SetDatabaseDefaults("worker", {"slots": 1, "window": 1}),
    ]
