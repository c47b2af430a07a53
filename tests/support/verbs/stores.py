"""The store, and moves between statuses."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    # The store
    from django_jobs.engine.store.values import start_of as start_of_span
    from django_jobs.engine.store.values import TallyKey as ActivityPlace
    from django_jobs.engine.store.values import Tally
    from django_jobs.engine.store.base_jobs import Store
    from django_jobs.engine.store.base_core import as_moment
    from django_jobs.engine.store.database import store
    from django_jobs.engine.store.database import class_for as store_class_for
    from django_jobs.engine.store.database import store_of
    from django_jobs.engine.store.database import use_store
    from django_jobs.engine.store.values import JobRow as ClaimRow
    from django_jobs.engine.store.counting import capped_count
    from django_jobs.engine.store.counting import capped_counts
    from django_jobs.engine.store.counting import newest_keys
    from django_jobs.engine.store.database import alias as database_alias
    from django_jobs.engine.store.database import connection as database_connection
    from django_jobs.engine.store.database import drop_connections
    from django_jobs.engine.store.database import in_transaction
    from django_jobs.engine.store.database import is_lost_connection
    from django_jobs.engine.store.database import is_lost_race
    from django_jobs.engine.store.database import locked
    from django_jobs.engine.store.database import mend_connections
    from django_jobs.engine.store.database import now
    from django_jobs.engine.store.database import on_commit
    from django_jobs.engine.store.database import was_too_slow
    from django_jobs.engine.store.database import fresh_reads
    from django_jobs.engine.store.values import waits_since
    from django_jobs.engine.store.values import waits_since_of
    from django_jobs.engine.store.values import class_of as histogram_class
    from django_jobs.engine.store.values import LostRace
    from django_jobs.engine.store.values import NewJob
    from django_jobs.engine.store.values import InFlightJob
    from django_jobs.engine.store.values import Lane
    from django_jobs.engine.store.values import LaneBound
    from django_jobs.engine.store.values import LaneMark
    from django_jobs.engine.store.values import Walk as LaneWalk
    from django_jobs.engine.store.values import Horizon as LogHorizon
    from django_jobs.engine.store.mariadb import MariaDBStore
    from django_jobs.engine.organizations import current_ids as current_organization_ids
    from django_jobs.engine.memory import forget_all as forget_organization_ids
    from django_jobs.engine.organizations import recent_ids as recent_organization_ids
    from django_jobs.engine.store.postgresql_core import next_key
    from django_jobs.engine.store.postgresql_core import without_length
    from django_jobs.engine.store.postgresql_inserts import sql_lock as new_job_lock_sql
    from django_jobs.engine.store.postgresql_core import Slot as ColumnSlot
    from django_jobs.engine.store.postgresql_core import may_prepare
    from django_jobs.engine.store.database import lacks_columns
    from django_jobs.engine.store.database import unapplied_migrations
    from django_jobs.engine.store.sqlite import SQLiteStore
    from django_jobs.engine.store.values import NewStep
    from django_jobs.engine.store.values import Attempt as StepAttempt
    from django_jobs.engine.store.values import StoredStep
    from django_jobs.engine.store.counting import created_between
    from django_jobs.engine.store.values import all_of
    from django_jobs.engine.store.values import any_of
    from django_jobs.engine.store.values import After
    from django_jobs.engine.store.values import Condition
    from django_jobs.engine.store.values import Move
    from django_jobs.engine.store.values import Moved
    from django_jobs.engine.store.values import Terms
    from django_jobs.engine.store.database import prepare_lines as prepare_worker_line

    # Moves
    from django_jobs.engine.transitions import fingerprint as error_fingerprint
    from django_jobs.engine.transitions import kind_of as error_kind
    from django_jobs.engine.transitions import move
    from django_jobs.engine.transitions import follow_up as follow_up_in_commit
    from django_jobs.engine.transitions import note_relatives as remind_relatives
