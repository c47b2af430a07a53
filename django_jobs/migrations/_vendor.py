"""What the initial migration adds for one database only, because models cannot say it."""

from __future__ import annotations

from typing import Any, Final

from django.db import migrations

# MariaDB has no partial indexes: Django makes full ones there. For most that is only larger; the dispatcher's walk
# would wade through finished jobs, so there a generated column, NULL while a job is not ready, leads its index. A move
# writes only the indexes whose columns it changes there, so that of those with the status one is enough; and one by
# organization serves what waits for others, too.
MARIADB_INDEXES: Final = (
    (
        "ALTER TABLE django_jobs_job ADD COLUMN ready_priority smallint AS "
        "(CASE WHEN ready_at IS NULL THEN NULL ELSE priority END) VIRTUAL"
    ),
    "DROP INDEX djobs_ready_lanes ON django_jobs_job",
    "CREATE INDEX djobs_ready_lanes ON django_jobs_job (ready_priority, organization_id, job_type_id, ready_at, id)",
    "DROP INDEX djobs_status_newest ON django_jobs_job",
    "DROP INDEX djobs_completed ON django_jobs_job",
    "DROP INDEX djobs_blocked ON django_jobs_job",
    "DROP INDEX djobs_org_priority ON django_jobs_job",
    *(
        statement
        for name, columns in (
            ("djobs_org_newest", "organization_id, id DESC"),
            ("djobs_type_newest", "job_type_id, organization_id, id DESC"),
            ("djobs_priority_newest", "priority, id DESC"),
            ("djobs_owner_newest", "owner_name, id DESC"),
        )
        for statement in (
            f"DROP INDEX {name} ON django_jobs_job",
            f"CREATE INDEX {name} ON django_jobs_job ({columns})",
        )
    ),
)

# The same for what must start by a certain time: the full index would hold every job that ever had such a moment, and
# those that ended would come first. The column is NULL unless the job waits.
MARIADB_EXPIRING: Final = (
    (
        "ALTER TABLE django_jobs_job ADD COLUMN expiring_at datetime(6) AS "
        "(CASE WHEN status IN ('Failed', 'Pending', 'Queued', 'Timed Out') THEN expires_at ELSE NULL END) VIRTUAL"
    ),
    "DROP INDEX djobs_expiring ON django_jobs_job",
    "CREATE INDEX djobs_expiring ON django_jobs_job (expiring_at)",
)
MARIADB_EXPIRING_UNDONE: Final = (
    "DROP INDEX djobs_expiring ON django_jobs_job",
    "ALTER TABLE django_jobs_job DROP COLUMN expiring_at",
    "CREATE INDEX djobs_expiring ON django_jobs_job (expires_at)",
)

# The dispatcher's lanes are without delayed jobs, which are in an index of their own. The index of all that waits
# stays, for what of a deleted organization waits for its moment. What is in flight is found by its status.
MARIADB_LANES: Final = (
    (
        "ALTER TABLE django_jobs_job ADD COLUMN due_priority smallint AS "
        "(CASE WHEN ready_at IS NULL OR is_delayed THEN NULL ELSE priority END) VIRTUAL"
    ),
    (
        "ALTER TABLE django_jobs_job ADD COLUMN delayed_until datetime(6) AS "
        "(CASE WHEN is_delayed THEN ready_at ELSE NULL END) VIRTUAL"
    ),
    "CREATE INDEX djobs_lanes ON django_jobs_job (due_priority, organization_id, job_type_id, ready_at, id)",
    "CREATE INDEX djobs_delayed ON django_jobs_job (delayed_until)",
    "ALTER TABLE django_jobs_job RENAME INDEX djobs_in_flight TO djobs_queued_at",
)
MARIADB_LANES_UNDONE: Final = (
    "ALTER TABLE django_jobs_job RENAME INDEX djobs_queued_at TO djobs_in_flight",
    "DROP INDEX djobs_lanes ON django_jobs_job",
    "DROP INDEX djobs_delayed ON django_jobs_job",
    "ALTER TABLE django_jobs_job DROP COLUMN due_priority, DROP COLUMN delayed_until",
)

# Without the status, which each move would have to write there.
MARIADB_BATCH: Final = ("CREATE INDEX djobs_batch ON django_jobs_job (batch_id, id)",)
MARIADB_BATCH_UNDONE: Final = ("DROP INDEX djobs_batch ON django_jobs_job",)

# Likewise.
MARIADB_OPERATION: Final = ("CREATE INDEX IF NOT EXISTS djobs_operation ON django_jobs_job (operation_id, id)",)
MARIADB_OPERATION_UNDONE: Final = ("DROP INDEX djobs_operation ON django_jobs_job",)

# What waits lies type by type, since a type that may not start is passed by as a whole.
MARIADB_TYPE_LANES: Final = (
    (
        "CREATE INDEX djobs_type_lanes ON django_jobs_job "
        "(due_priority, job_type_id, organization_id, lane_key, ready_at, id)"
    ),
    (
        "CREATE INDEX djobs_type_ready ON django_jobs_job "
        "(ready_priority, job_type_id, organization_id, lane_key, ready_at, id)"
    ),
)
MARIADB_TYPE_LANES_UNDONE: Final = (
    "DROP INDEX djobs_type_lanes ON django_jobs_job",
    "DROP INDEX djobs_type_ready ON django_jobs_job",
)
MARIADB_OLD_LANES: Final = (
    "DROP INDEX djobs_lanes ON django_jobs_job",
    "DROP INDEX djobs_ready_lanes ON django_jobs_job",
)
MARIADB_OLD_LANES_UNDONE: Final = (
    "CREATE INDEX djobs_lanes ON django_jobs_job (due_priority, organization_id, job_type_id, ready_at, id)",
    "CREATE INDEX djobs_ready_lanes ON django_jobs_job (ready_priority, organization_id, job_type_id, ready_at, id)",
)

# The index of dead letters is a full one there, and so holds all that failed.
MARIADB_FAILURES: Final = ("ALTER TABLE django_jobs_job RENAME INDEX djobs_dead_letters TO djobs_failures",)
MARIADB_FAILURES_UNDONE: Final = ("ALTER TABLE django_jobs_job RENAME INDEX djobs_failures TO djobs_dead_letters",)

POSTGRESQL_STORAGE: Final = (
    # Room on each page for a row's next versions, and vacuum by churn instead of by share of a long history.
    (
        "ALTER TABLE django_jobs_job SET (fillfactor = 80, autovacuum_vacuum_scale_factor = 0.02, "
        "autovacuum_vacuum_threshold = 1000, autovacuum_analyze_scale_factor = 0.02)"
    ),
)


class VendorSQL(migrations.RunSQL):
    """RunSQL on one vendor's databases, nothing on others."""

    def __init__(self, vendor: str, statements: tuple[str, ...], undo: tuple[str, ...] = ()) -> None:
        super().__init__(sql=list(statements), reverse_sql=list(undo) or migrations.RunSQL.noop)
        self.vendor = vendor
        self.statements = statements
        self.undo = undo

    def deconstruct(self) -> Any:
        return self.__class__.__qualname__, [self.vendor, self.statements, self.undo], {}

    def database_forwards(self, app_label: str, schema_editor: Any, from_state: Any, to_state: Any) -> None:
        if schema_editor.connection.vendor == self.vendor:
            super().database_forwards(app_label, schema_editor, from_state, to_state)

    def database_backwards(self, app_label: str, schema_editor: Any, from_state: Any, to_state: Any) -> None:
        if schema_editor.connection.vendor == self.vendor:
            super().database_backwards(app_label, schema_editor, from_state, to_state)
