"""What one database needs besides, because models cannot say it."""

from __future__ import annotations

from typing import Any, Final

from django.db.migrations.operations.base import Operation

# MariaDB has no partial indexes: Django makes full ones there. For most that is only larger. Where what has ended would
# come first, a generated column leads the index, which is NULL unless the job waits so. A move writes only the indexes
# whose columns it changes there, so that one with the status is enough; and one by organization serves what waits for
# other jobs, too.
_WAITING: Final = "job_type_id, organization_id, lane_key, ready_at, id"
MARIADB: Final = (
    """ALTER TABLE django_jobs_job
    ADD COLUMN ready_priority smallint AS (CASE WHEN ready_at IS NULL THEN NULL ELSE priority END) VIRTUAL,
    ADD COLUMN due_priority smallint AS (CASE WHEN ready_at IS NULL OR is_delayed THEN NULL ELSE priority END) VIRTUAL,
    ADD COLUMN delayed_until datetime(6) AS (CASE WHEN is_delayed THEN ready_at ELSE NULL END) VIRTUAL,
    ADD COLUMN expiring_at datetime(6) AS
        (CASE WHEN status IN ('Failed', 'Pending', 'Queued', 'Timed Out') THEN expires_at ELSE NULL END) VIRTUAL""",
    *(
        f"DROP INDEX {name} ON django_jobs_job"
        for name in ("djobs_status_newest", "djobs_completed", "djobs_blocked", "djobs_org_priority")
    ),
    # Jobs of deleted organizations that wait for their moment are found by this one.
    f"CREATE INDEX djobs_type_ready ON django_jobs_job (ready_priority, {_WAITING})",
    *(
        f"ALTER TABLE django_jobs_job DROP INDEX {name}, ADD INDEX {name} ({columns})"
        for name, columns in (
            ("djobs_type_lanes", f"due_priority, {_WAITING}"),
            ("djobs_delayed", "delayed_until"),
            ("djobs_queued_at", "status, organization_id"),
            ("djobs_org_newest", "organization_id, id DESC"),
            ("djobs_type_newest", "job_type_id, organization_id, id DESC"),
            ("djobs_priority_newest", "priority, id DESC"),
            ("djobs_owner_newest", "owner_name, id DESC"),
            ("djobs_failures", "job_type_id, error_fingerprint, id DESC"),
            ("djobs_batch", "batch_id, id"),
            ("djobs_operation", "operation_id, id"),
            ("djobs_expiring", "expiring_at"),
        )
    ),
)

POSTGRESQL: Final = (
    # Room on each page for a row's next versions, and vacuum by churn instead of by share of a long history.
    """ALTER TABLE django_jobs_job SET (fillfactor = 80, autovacuum_vacuum_scale_factor = 0.02,
    autovacuum_vacuum_threshold = 1000, autovacuum_analyze_scale_factor = 0.02)""",
)


class VendorSQL(Operation):
    """Statements about the table of jobs on one vendor's databases, after all indexes. They go when the table goes."""

    def __init__(self, vendor: str, statements: tuple[str, ...]) -> None:
        self.vendor = vendor
        self.statements = statements

    def describe(self) -> str:
        return f"Change the table of jobs on {self.vendor}"

    def state_forwards(self, app_label: str, state: Any) -> None:
        """Leave the models as they are."""

    def database_forwards(self, app_label: str, schema_editor: Any, from_state: Any, to_state: Any) -> None:
        connection = schema_editor.connection
        if connection.vendor != self.vendor:
            return
        if self.allow_migrate_model(connection.alias, to_state.apps.get_model(app_label, "job")):
            # Where Django itself puts the indexes of new tables.
            schema_editor.deferred_sql.extend(self.statements)

    def database_backwards(self, app_label: str, schema_editor: Any, from_state: Any, to_state: Any) -> None:
        """Do nothing."""
