"""Marks, codes and bounds that tests compare with: read as they are at that moment by ``verbs.NAME``."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from django_jobs.admin.graph import MAX_LINKS as GRAPH_LINKS
    from django_jobs.admin.job import CALM_PAUSE as JOB_PAGE_CALM_PAUSE
    from django_jobs.admin.job import FINAL_PAUSE as JOB_PAGE_FINAL_PAUSE
    from django_jobs.admin.job import PAUSE as JOB_PAGE_PAUSE
    from django_jobs.admin.job import WHOLE_PAUSE as JOB_PAGE_WHOLE_PAUSE
    from django_jobs.admin.jobs import LARGE as LARGE_PAGE_FIELDS
    from django_jobs.admin.job import DRAWN as DRAWN_RELATIVES
    from django_jobs.admin.job import MAX_RELATIVES as RELATIVES_ROWS
    from django_jobs.engine.insight.reasons import REASONS
    from django_jobs.admin.monitor import WORKERS_SHOWN
    from django_jobs.api.methods import METHODS
    from django_jobs.api.base import RATES as THROTTLE_RATES
    from django_jobs.broker.rq_guard import GUARDED
    from django_jobs.broker.rq_guard import UNREAD
    from django_jobs.broker.queues import LEADER as LEADER_KEY
    from django_jobs.broker.queues import MARKER
    from django_jobs.contrib.sentry.events import SCOPES as SENTRY_SCOPES
    from django_jobs.engine.timing import POLICY_COMPLAINT_SECONDS as COMPLAINT_PAUSE
    from django_jobs.engine.actors import SCHEDULER
    from django_jobs.engine.actors import SYSTEM
    from django_jobs.engine.actors import WORKER
    from django_jobs.engine.timing import ALERT_CLEAR_SECONDS
    from django_jobs.engine.alerts.telling import MOST as MAILS_OF_A_WINDOW
    from django_jobs.engine.timing import MAIL_LATE
    from django_jobs.engine.timing import MAIL_LOOK_SECONDS as MAIL_LOOK
    from django_jobs.engine.timing import MAIL_QUIET
    from django_jobs.engine.timing import MAIL_WINDOW
    from django_jobs.engine.alerts.records import LEASE as ALERT_LEASE
    from django_jobs.engine.alerts.rules import RULES as ALERT_RULES
    from django_jobs.engine.batches import MAX_REMEMBERED as REMEMBERED_LOOKS
    from django_jobs.engine.control.operation_work import UNDER_WAY as OUTCOMES_UNDER_WAY
    from django_jobs.engine.control.operations import MAX_PER_MINUTE as OPERATIONS_A_MINUTE
    from django_jobs.engine.control.operation_work import AT_ONCE as OPERATIONS_AT_ONCE
    from django_jobs.engine.control.operation_work import FAILURES as OPERATION_FAILURES
    from django_jobs.engine.timing import RETENTION_REST_SECONDS as RETENTION_LEAST_REST
    from django_jobs.engine.timing import RETENTION_PAUSE_SECONDS as RETENTION_PAUSE
    from django_jobs.engine.control.tenants import NOT_FOUND as TENANT_NOT_FOUND
    from django_jobs.engine.dispatch.backlog import TYPES_PER_ORGANIZATION
    from django_jobs.engine.timing import BREAKER_RECOVERY_SECONDS
    from django_jobs.engine.timing import LATE_DUE_SECONDS as LATE_SECONDS
    from django_jobs.engine.dispatch.in_flight import LOCK_LEASE as DISPATCH_LEASE
    from django_jobs.engine.timing import LOCK_WAIT_SECONDS as DISPATCH_LOCK_WAIT_SECONDS
    from django_jobs.engine.dispatch.backlog import EXPIRED
    from django_jobs.engine.dispatch.backlog import EXPIRED_AT_ONCE
    from django_jobs.engine.timing import START_CLOCK_LOOK_SECONDS as FLOW_LOOK
    from django_jobs.engine.timing import START_CLOCK_PASS_SECONDS as FLOW_PASS_SECONDS
    from django_jobs.engine.timing import START_CLOCK_USE_SECONDS as FLOW_USE_SECONDS
    from django_jobs.engine.timing import COUNT_MARK_SECONDS as IN_FLIGHT_RENEWAL_SECONDS
    from django_jobs.engine.dispatch.in_flight import KEPT_LANES
    from django_jobs.engine.timing import WALK_MARK_SECONDS as MARK_BOUND_SECONDS
    from django_jobs.engine.timing import LONGEST_REST_SECONDS as MARK_REST_SECONDS
    from django_jobs.engine.timing import MARKS_SAVE_SECONDS as MARK_SAVE_SECONDS
    from django_jobs.engine.timing import POOLS_MEMORY_SECONDS as POOL_MEMORY_SECONDS
    from django_jobs.engine.timing import LONGEST_REST_SECONDS as MAX_REST_SECONDS
    from django_jobs.engine.dispatch.new_jobs import TRIES as SHORT_WAY_TRIES
    from django_jobs.engine.timing import SHARE_ANSWER_SECONDS as LIMIT_ANSWER_SECONDS
    from django_jobs.engine.dispatch.turns import OTHER_KEY
    from django_jobs.engine.dispatch.turns import QUEUED
    from django_jobs.engine.dispatch.turns import OF as TYPE_TURNS_OF
    from django_jobs.engine.timing import BROKER_FULL_SECONDS as FULL_WINDOW_SECONDS
    from django_jobs.engine.dispatch.window import MIN_WINDOW
    from django_jobs.engine.timing import CLAIM_IN_USE_SECONDS as ALL_IN_USE_SECONDS
    from django_jobs.engine.execution.run import ATTEMPT_LOST
    from django_jobs.engine.execution.leases import UNSTORED
    from django_jobs.engine.execution.leases import LEASE_OVER
    from django_jobs.engine.execution.settle import KILLED
    from django_jobs.engine.execution.settle import STOPPED
    from django_jobs.engine.timing import CLAIM_ANSWER_SECONDS as POLICY_CACHE_SECONDS
    from django_jobs.engine.execution.settle import LARGE_BYTES as LARGE_RESULT_BYTES
    from django_jobs.engine.execution.settle import EXHAUSTED
    from django_jobs.engine.execution.claim import MIN_SHARE
    from django_jobs.engine.timing import BREAKER_SPARES as SPARED_FOR
    from django_jobs.engine.insight.failures import TEXT as FAILURE_TEXT
    from django_jobs.engine.insight.problems import PROBLEM
    from django_jobs.engine.insight.filter import TERMS as FILTER_TERMS
    from django_jobs.engine.insight.filter import GIVEN_TERMS
    from django_jobs.engine.insight.problems import JOBS_OF_LANE as NEGLECTED_JOBS_OF_LANE
    from django_jobs.engine.insight.problems import MAX_HOPPED as NEGLECTED_MAX_HOPPED
    from django_jobs.engine.timing import SEARCH_BOUND_SECONDS as NEWEST_JOBS_MAX_AGE
    from django_jobs.engine.control.acts import JOB_ACTS
    from django_jobs.engine.insight.rollups import LEASE as ROLLUP_LEASE
    from django_jobs.engine.timing import NOT_LOADABLE_RETRY_SECONDS as NOT_LOADABLE_DELAY
    from django_jobs.engine.job_types.masking import MASK
    from django_jobs.engine.job_types.parameters import MAX_FIELDS
    from django_jobs.engine.observers import CARRIED
    from django_jobs.engine.insight.rollups import MAX_TYPES as COUNTED_TYPES
    from django_jobs.contrib.prometheus.exposition import OUTCOMES
    from django_jobs.engine.schedules.firing import DUTY as CLOCKWORK_DUTY
    from django_jobs.engine.schedules.firing import KEPT as FIRINGS_KEPT
    from django_jobs.engine.schedules.firing import LOOKED_AT_EACH as FIRINGS_LOOKED_AT
    from django_jobs.engine.store.values import COUNTERS
    from django_jobs.engine.store.base_core import MAX_TRIES as TRANSACTION_TRIES
    from django_jobs.engine.store.values import ALL_TYPES
    from django_jobs.engine.store.values import LANE_BEGIN
    from django_jobs.engine.store.postgresql_inserts import SHAPES as INSERTION_SHAPES
    from django_jobs.engine.store.postgresql_inserts import AHEAD as ROWS_AHEAD
    from django_jobs.engine.store.postgresql_core import FEW as FEW_ROWS
    from django_jobs.engine.store.postgresql_core import MARK as STATEMENT_MARK
    from django_jobs.engine.submission.values import MAX_METADATA_BYTES
    from django_jobs.engine.scope import ASKED as ASKED_AT_ONCE
    from django_jobs.engine.store.values import INCREMENT
    from django_jobs.engine.store.values import NOW
    from django_jobs.management.commands.jobs_status import MAX_HELD as MAX_ALARMS
    from django_jobs.management.shell import MAX_TEXT as MAX_IDS_TEXT
    from django_jobs.models.job_type import MAX_AT_ONCE as TYPE_MAX_AT_ONCE
    from django_jobs.models.job_type import MAX_DAYS as TYPE_MAX_DAYS
    from django_jobs.models.job_type import MAX_RATE as TYPE_MAX_RATE
    from django_jobs.models.job_type import MAX_SECONDS as TYPE_MAX_SECONDS
    from django_jobs.realtime.hub import SOCKETS_A_USER
    from django_jobs.realtime.broadcast import MESSAGE_TYPE
    from django_jobs.realtime.connections import FRAMES_A_SECOND
    from django_jobs.realtime.events import BATCH as BATCH_EVENT
    from django_jobs.realtime.events import STATUS_CHANGED
    from django_jobs.realtime.identity import TOKEN
    from django_jobs.realtime.hub import BATCH_PAUSE
    from django_jobs.realtime.protocol import JOB as JOB_ROOM
    from django_jobs.templatetags.django_jobs import BATCH_PLURALS
    from django_jobs.templatetags.django_jobs import BATCH_WORDS
    from django_jobs.templatetags.django_jobs import HELD as HELD_WORDS
    from django_jobs.templatetags.django_jobs import PLURALS as JOB_PLURALS
    from django_jobs.templatetags.django_jobs import WORDS as JOB_WORDS
    from django_jobs.templatetags.django_jobs import LONGEST as LONGEST_WORDS
    from django_jobs.worker.shared import MAX_SET
    from django_jobs.worker.supervisor import IGNORED_CANCEL
    from django_jobs.worker.supervisor import IGNORED_TIMEOUT
    from django_jobs.worker.supervisor import SHUT_DOWN
    from django_jobs.worker.processes import DATABASE_AWAY
    from django_jobs.worker.processes import REASONS as EXIT_REASONS
    from django_jobs.worker.processes import FOREIGN_BROKER
    from django_jobs.worker.processes import BROKER_AWAY
    from django_jobs.worker.processes import SUSPENDED as WORKERS_SUSPENDED
    from django_jobs.worker.processes import MAX_ARGUMENTS as FORK_MAX_ARGUMENTS
    from django_jobs.worker.processes import NAME as FORK_SERVER_NAME
    from django_jobs.engine.timing import REQUEUE_LOOK_SECONDS as REQUEUE_SECONDS
    from django_jobs.worker.housekeeper import WAITED_BEHIND
    from django_jobs.worker.interruption import SIGNAL as INTERRUPTION_SIGNAL
    from django_jobs.tasks.job_types import LOOK_AGAIN_SECONDS as LOOK_AT_TASKS_AGAIN_SECONDS
    from django_jobs.engine.timing import CLAIM_AHEAD_SECONDS as AHEAD_SECONDS
    from django_jobs.engine.timing import JOB_OVERHEAD_SECONDS
    from django_jobs.engine.timing import LARGE_CLAIM_AHEAD_SECONDS as LARGE_AHEAD_SECONDS
    from django_jobs.engine.timing import SECOND_LOOK_SECONDS
    from django_jobs.worker.child_state import SET_TRIES
    from django_jobs.worker.processes import STACKS_SIGNAL
    from django_jobs.worker.children import OWN_THREAD
    from django_jobs.engine.timing import STOP_MARGIN_SECONDS
    from django_jobs.engine.timing import THREAD_START_RETRY_SECONDS as SLOT_PAUSE_SECONDS
