"""What tests set otherwise of the package: its times and sizes, its clocks, and what a process remembers.

Nothing else here names modules of the package, so a constant that moves is changed in this file alone.
"""

from __future__ import annotations

import difflib
import functools
import json
import math
import os
from importlib import import_module
from typing import Any, Final

from django.apps import AppConfig

VARIABLE: Final = "DJANGO_JOBS_TEST_TUNING"

Place = tuple[str, str]

#: What a test may set, by a name that says what it is, and where that stands: in a module, or in several at once.
KNOBS: Final[dict[str, Place | tuple[Place, ...]]] = {
    # The admin
    "batch_graph_boxes": ("django_jobs.admin.graph", "MAX_BOXES"),
    "batch_graph_jobs": ("django_jobs.admin.graph", "MAX_JOBS"),
    "batch_graph_links": ("django_jobs.admin.graph", "MAX_LINKS"),
    "batch_list_searched_batches": ("django_jobs.admin.batches", "RECENT"),
    "batch_page_failure_groups": ("django_jobs.admin.batches", "MAX_GROUPS"),
    "bulk_action_jobs": ("django_jobs.admin.acts", "MAX_AT_ONCE"),
    "choices_of_a_filter": ("django_jobs.admin.filters", "MAX_LISTED"),
    "counted_jobs_of_a_filter": ("django_jobs.admin.filters", "MOST"),
    "duration_words": ("django_jobs.admin.writing", "OWN_WORDS"),
    "execution_log_jobs_of_members": ("django_jobs.admin.log", "NEWEST_JOBS"),
    "execution_log_searched_rows": ("django_jobs.admin.log", "RECENT"),
    "export_batch_jobs": ("django_jobs.admin.jobs", "BATCH"),
    "export_rows": (
        ("django_jobs.admin.jobs", "MAX_ROWS"),
        ("django_jobs.admin.acts", "MAX_ROWS"),
    ),
    "failures_page_rows": ("django_jobs.admin.failures", "PER_PAGE"),
    "grouped_jobs_of_filters": (
        ("django_jobs.admin.filters", "NEWEST"),
        ("django_jobs.admin.jobs", "NEWEST"),
    ),
    "job_list_named_jobs": ("django_jobs.admin.jobs", "FEW"),
    "job_page_child_jobs": ("django_jobs.admin.job", "LOOKED_AT"),
    "job_page_history_rows": ("django_jobs.admin.job_history", "ROWS"),
    "job_page_log_lines": ("django_jobs.admin.job_history", "INLINE"),
    "job_page_work_rows": ("django_jobs.admin.job", "MAX_STEPS"),
    "load_page_jobs": ("django_jobs.admin.organizations", "MAX_LOOKED_AT"),
    "monitor_breakers": ("django_jobs.admin.reasons", "SHOWN"),
    "monitor_counted_jobs": ("django_jobs.admin.monitor", "BOUND"),
    "monitor_counted_workers": ("django_jobs.admin.workers", "MAX_WORKERS"),
    "monitor_running_jobs": ("django_jobs.admin.monitor", "MAX_RUNNING"),
    "monitor_shown_workers": ("django_jobs.admin.monitor", "WORKERS_SHOWN"),
    "monitor_traffic_rows": ("django_jobs.admin.monitor", "MAX_SAMPLES"),
    "monitor_traffic_types": ("django_jobs.admin.monitor", "MAX_TYPES"),
    "navigation_counts_seconds": ("django_jobs.admin.bar", "SECONDS"),
    "saved_filters": ("django_jobs.admin.search", "MOST"),
    "type_page_limited_names": ("django_jobs.admin.job_types", "SHOWN"),
    "types_of_a_filter": (
        ("django_jobs.admin.filters", "MAX_TYPES"),
        ("django_jobs.admin.schedules", "MAX_TYPES"),
    ),
    # The API, and what people are shown of jobs
    "scope_inlined_keys": ("django_jobs.engine.scope", "FEW"),
    "api_searched_batches": ("django_jobs.api.batches", "RECENT"),
    "api_searched_jobs": ("django_jobs.api.jobs", "RECENT"),
    "bounded_organizations": (
        ("django_jobs.engine.insight.search", "MAX_ORGANIZATIONS"),
        ("django_jobs.engine.scope", "FEW"),
    ),
    "capped_count_rows": (
        ("django_jobs.engine.store.counting", "MAX_COUNT"),
        ("django_jobs.admin.bar", "MAX_COUNT"),
        ("django_jobs.admin.organizations", "MAX_COUNT"),
    ),
    "counting_rows_of_a_statement": ("django_jobs.engine.insight.search", "STRETCH"),
    "counting_seconds": ("django_jobs.engine.timing", "SEARCH_SECONDS"),
    "counting_statement_seconds": ("django_jobs.engine.timing", "SEARCH_STATEMENT_SECONDS"),
    "diagnosed_batches": ("django_jobs.engine.insight.problems", "LOOKED_AT"),
    "diagnosis_named_batches": ("django_jobs.engine.insight.problems", "MAX_NAMED_BATCHES"),
    "diagnosis_named_shares": ("django_jobs.engine.insight.problems", "MAX_NAMED_SHARES"),
    "diagnosis_pause_seconds": ("django_jobs.engine.timing", "PROBLEM_LOOK_SECONDS"),
    "failed_jobs_read": (
        ("django_jobs.engine.insight.failures", "BOUND"),
        ("django_jobs.admin.failures", "BOUND"),
    ),
    "history_page_characters": ("django_jobs.engine.insight.status", "MAX_CHARACTERS"),
    "history_page_rows": ("django_jobs.engine.insight.status", "MAX_ROWS"),
    "last_minutes_rows": ("django_jobs.engine.insight.metrics", "NEWEST"),
    "listing_near_jobs": ("django_jobs.engine.store.counting", "_NEAR"),
    "listed_parents": ("django_jobs.engine.insight.status", "MAX_LISTED_PARENTS"),
    "metrics_counted_jobs": ("django_jobs.engine.insight.metrics", "BOUND"),
    "newest_jobs_seconds": ("django_jobs.engine.timing", "SEARCH_BOUND_SECONDS"),
    "searched_jobs": ("django_jobs.engine.insight.filter", "LOOKED_AT"),
    "searched_newest_jobs": ("django_jobs.engine.insight.filter", "RECENT"),
    "status_counted_jobs": ("django_jobs.engine.store.counting", "MAX_COUNT"),
    "waiting_signals": ("django_jobs.engine.insight.events", "MAX_WAITING"),
    # Commands, probes and tests of hosts
    "named_jobs_of_a_transaction": ("django_jobs.engine.control.acts", "PAGE"),
    "neglected_jobs_full_lanes": ("django_jobs.engine.insight.problems", "MAX_HOPPED"),
    "neglected_jobs_lanes_of_type": ("django_jobs.engine.insight.problems", "LANES_OF_TYPE"),
    "neglected_jobs_pages": ("django_jobs.engine.insight.problems", "PAGES"),
    "no_worker_warning_seconds": ("django_jobs.management.commands.jobs_submit", "PATIENCE"),
    "probe_look_pause_seconds": ("django_jobs.health.lookouts", "LOOK_SECONDS"),
    "probe_client_seconds": ("django_jobs.health.server", "MAX_SECONDS"),
    "probe_silent_seconds": ("django_jobs.health.server", "_Handler.timeout"),
    "test_broker_wait_seconds": ("tests.support.memory_broker", "WAIT_SECONDS"),
    "test_firings": ("django_jobs.testing.running", "MAX_FIRINGS"),
    # Sockets
    "broadcast_failure_pause_seconds": ("django_jobs.realtime.broadcast", "PAUSE_AFTER_FAILURE"),
    "broadcast_listed_changes": ("django_jobs.realtime.broadcast", "MAX_LISTED"),
    "broadcast_pause_seconds": ("django_jobs.realtime.broadcast", "PAUSE_SECONDS"),
    "frames_a_second": ("django_jobs.realtime.connections", "FRAMES_A_SECOND"),
    "hub_new_events": ("django_jobs.realtime.hub", "MAX_NEW"),
    "hub_poll_seconds": ("django_jobs.realtime.hub", "POLL_SECONDS"),
    "hub_recheck_seconds": ("django_jobs.realtime.hub", "RECHECK_SECONDS"),
    "hub_tick_seconds": ("django_jobs.realtime.hub", "TICK_SECONDS"),
    "hub_topics_a_tick": ("django_jobs.realtime.hub", "TOPICS_A_TICK"),
    "layer_refresh_seconds": ("django_jobs.realtime.hub", "REFRESH_SECONDS"),
    "missed_events": ("django_jobs.realtime.events", "MAX_MISSED"),
    "outbox_busy_frames": ("django_jobs.realtime.topics", "BUSY_OUTBOX"),
    "outbox_frames": ("django_jobs.realtime.topics", "MAX_OUTBOX"),
    "remembered_events": ("django_jobs.realtime.topics", "REMEMBERED"),
    "replayed_events_a_frame": ("django_jobs.realtime.connections", "REPLAYED_A_FRAME"),
    "rooms_of_a_connection": ("django_jobs.realtime.connections", "MAX_ROOMS"),
    "socket_questions_of_a_call": ("django_jobs.realtime.database_threads", "MAX_BATCH"),
    "socket_tickets_forgotten_at_once": ("django_jobs.engine.sockets", "BATCH"),
    "socketio_connect_seconds": ("django_jobs.contrib.socketio", "CONNECT_SECONDS"),
    "socketio_end_seconds": ("django_jobs.contrib.socketio", "END_SECONDS"),
    "socketio_linger_seconds": ("django_jobs.contrib.socketio", "LINGER_SECONDS"),
    "socketio_transport_packets": ("django_jobs.contrib.socketio", "USUAL_PACKETS"),
    "socketio_unknown_clients": ("django_jobs.contrib.socketio", "MAX_UNKNOWN"),
    "socketio_upgrade_seconds": ("django_jobs.contrib.socketio", "UPGRADE_SECONDS"),
    "socketio_waiting_packets": ("django_jobs.contrib.socketio", "MAX_WAITING"),
    "sockets_a_tick": ("django_jobs.realtime.hub", "SOCKETS_A_TICK"),
    "sockets_a_user": ("django_jobs.realtime.hub", "SOCKETS_A_USER"),
    "visibility_answer_seconds": ("django_jobs.realtime.hub", "ANSWER_SECONDS"),
    "file_retry_seconds": ("django_jobs.engine.timing", "FILE_RETRY_SECONDS"),
    # Alerts
    "alert_statement_seconds": ("django_jobs.engine.timing", "ALERT_STATEMENT_SECONDS"),
    "alert_rules": ("django_jobs.engine.alerts.records", "RULES"),
    "alert_clear_seconds": ("django_jobs.engine.timing", "ALERT_CLEAR_SECONDS"),
    "alert_pause_seconds": ("django_jobs.engine.timing", "ALERT_LOOK_SECONDS"),
    "alert_reading_seconds": ("django_jobs.engine.timing", "ALERTS_MEMORY_SECONDS"),
    "mail_first_pause_seconds": ("django_jobs.engine.timing", "MAIL_RETRY_SECONDS"),
    "mail_longest_pause_seconds": ("django_jobs.engine.timing", "LONGEST_MAIL_RETRY_SECONDS"),
    "mail_patience_seconds": ("django_jobs.engine.timing", "MAIL_PATIENCE_SECONDS"),
    "mail_poll_seconds": ("django_jobs.engine.timing", "MAIL_POLL_SECONDS"),
    "mail_server_answer_seconds": ("django_jobs.engine.timing", "MAIL_ANSWER_SECONDS"),
    # Duties of the scheduler
    "audit_named_objects": ("django_jobs.engine.control.audit", "MAX_NAMED"),
    "batch_call_seconds": ("django_jobs.engine.timing", "BATCH_CALL_SECONDS"),
    "batch_counting_seconds": ("django_jobs.engine.timing", "BATCH_TICK_SECONDS"),
    "batch_counting_changes": ("django_jobs.engine.batches", "READ_AT_ONCE"),
    "batch_duty_seconds": ("django_jobs.engine.timing", "BATCH_CONTROL_TICK_SECONDS"),
    "batch_page_jobs": ("django_jobs.engine.control.batches", "PAGE"),
    "batch_pause_seconds": ("django_jobs.engine.timing", "BATCH_LOOK_SECONDS"),
    "delayed_jobs_at_once": ("django_jobs.engine.dispatch.backlog", "DELAYED_AT_ONCE"),
    "delays_seconds": ("django_jobs.engine.timing", "DELAYED_JOBS_SECONDS"),
    "deleted_links_at_once": ("django_jobs.engine.control.deletion", "LINKS_AT_ONCE"),
    "duty_look_seconds": ("django_jobs.engine.timing", "DUTY_LOOK_SECONDS"),
    "duty_stalled_seconds": ("django_jobs.engine.timing", "DUTY_STALLED_SECONDS"),
    "expired_jobs_at_once": ("django_jobs.engine.dispatch.backlog", "EXPIRED_AT_ONCE"),
    "expirations_seconds": ("django_jobs.engine.timing", "EXPIRY_TICK_SECONDS"),
    "file_deletions_rows": ("django_jobs.engine.control.deletion", "BATCH"),
    "follow_up_commit_seconds": ("django_jobs.engine.timing", "FAMILY_CALL_SECONDS"),
    "follow_up_page_jobs": ("django_jobs.engine.dependencies", "PAGE"),
    "follow_up_tick_seconds": ("django_jobs.engine.timing", "FAMILY_TICK_SECONDS"),
    "forgotten_deduplication_rows": ("django_jobs.engine.submission.same_work", "FORGET_BATCH"),
    "lane_keys_again_seconds": ("django_jobs.engine.timing", "LANE_KEYS_AGAIN_SECONDS"),
    "lane_keys_read_rows": ("django_jobs.engine.control.lane_keys", "AT_ONCE"),
    "lane_keys_seconds": ("django_jobs.engine.timing", "LANE_KEYS_TICK_SECONDS"),
    "lane_keys_written_jobs": ("django_jobs.engine.control.lane_keys", "WRITTEN_AT_ONCE"),
    "log_open_seconds": ("django_jobs.engine.timing", "OPEN_TRANSACTION_SECONDS"),
    "lost_logs_rows": ("django_jobs.engine.control.lost_logs", "LOOKED_AT_ONCE"),
    "operation_counted_rows": ("django_jobs.engine.control.operation_work", "COUNTED"),
    "operation_held_seconds": ("django_jobs.engine.timing", "OPERATION_HELD_ROW_SECONDS"),
    "operation_rest_factor": ("django_jobs.engine.control.operation_work", "COUNT_REST_FACTOR"),
    "operation_stretch_rows": ("django_jobs.engine.control.operation_work", "STRETCH"),
    "operation_turn_jobs": ("django_jobs.engine.control.operation_work", "BATCH"),
    "retention_batch_jobs": ("django_jobs.engine.control.retention", "BATCH"),
    "retention_refused_seconds": ("django_jobs.engine.timing", "RETENTION_REFUSED_SECONDS"),
    "rollup_forgotten_rows": ("django_jobs.engine.insight.rollups", "FORGOTTEN_AT_ONCE"),
    "rollup_pause_seconds": ("django_jobs.engine.timing", "ROLLUP_SECONDS"),
    "rollup_rows": (
        ("django_jobs.engine.insight.rollups", "BATCH"),
        ("django_jobs.engine.alerts.rules", "BATCH"),
    ),
    "rollup_seconds": ("django_jobs.engine.timing", "ROLLUP_TICK_SECONDS"),
    "schedule_look_seconds": ("django_jobs.engine.timing", "CLOCKWORK_LOOK_SECONDS"),
    "schedule_rest_seconds": ("django_jobs.engine.timing", "FIRING_REST_SECONDS"),
    "schedule_round_seconds": ("django_jobs.engine.timing", "FIRING_ROUND_SECONDS"),
    "schedules_a_look": ("django_jobs.engine.schedules.firing", "TURNS"),
    "sweep_step_seconds": ("django_jobs.engine.timing", "SWEEP_STEP_SECONDS"),
    "tenant_deletion_jobs": ("django_jobs.engine.control.tenants", "BATCH"),
    "tenant_deletion_pages": ("django_jobs.engine.control.tenants", "PAGES"),
    # Submitting and dispatching
    "answer_cache_entries": ("django_jobs.engine.dispatch.tenant_shares", "_answers.most"),
    "backlog_lanes_at_once": ("django_jobs.engine.dispatch.backlog", "LANES_AT_ONCE"),
    "backlog_lanes_of_type": ("django_jobs.engine.dispatch.backlog", "LANES_OF_TYPE"),
    "broker_answer_seconds": ("django_jobs.broker.queues", "connect.__defaults__"),
    "broker_block_seconds": ("django_jobs.engine.timing", "BROKER_BLOCK_SECONDS"),
    "broker_break_seconds": ("django_jobs.engine.timing", "BROKER_BREAK_SECONDS"),
    "late_broker_seconds": ("django_jobs.engine.timing", "LATE_BROKER_SECONDS"),
    "dispatch_lock_wait_seconds": ("django_jobs.engine.timing", "LOCK_WAIT_SECONDS"),
    "dispatch_pauses_seconds": ("django_jobs.engine.timing", "PASS_RETRY_SECONDS"),
    "flow_look_seconds": ("django_jobs.engine.timing", "START_CLOCK_LOOK_SECONDS"),
    "flow_use_seconds": ("django_jobs.engine.timing", "START_CLOCK_USE_SECONDS"),
    "in_flight_margin_seconds": ("django_jobs.engine.timing", "COUNT_MARGIN_SECONDS"),
    "in_flight_renewal_seconds": ("django_jobs.engine.timing", "COUNT_MARK_SECONDS"),
    "in_flight_rest_factor": ("django_jobs.engine.dispatch.in_flight", "REST_FACTOR"),
    "in_flight_slow_seconds": ("django_jobs.engine.timing", "SLOW_COUNT_SECONDS"),
    "inserted_rows": (
        ("django_jobs.engine.store.base_jobs", "MAX_ROWS"),
        ("django_jobs.engine.store.postgresql_inserts", "MAX_ROWS"),
    ),
    "lane_marks_bound_seconds": ("django_jobs.engine.timing", "WALK_MARK_SECONDS"),
    "lane_marks_lanes": ("django_jobs.engine.dispatch.backlog", "MARKED_LANES"),
    "lane_marks_margin_seconds": ("django_jobs.engine.timing", "WALK_MARGIN_SECONDS"),
    "lane_marks_noted_lanes": ("django_jobs.engine.dispatch.backlog", "NOTED_LANES"),
    "lane_marks_rest_factor": ("django_jobs.engine.dispatch.backlog", "REST_FACTOR"),
    "lane_marks_save_seconds": ("django_jobs.engine.timing", "MARKS_SAVE_SECONDS"),
    "lane_marks_slow_question_seconds": ("django_jobs.engine.dispatch.backlog", "_asking.slow_seconds"),
    "lane_marks_slow_seconds": ("django_jobs.engine.timing", "SLOW_WALK_SECONDS"),
    "lane_marks_slow_walks": ("django_jobs.engine.dispatch.backlog", "SLOW_WALKS"),
    "limit_answer_seconds": ("django_jobs.engine.timing", "SHARE_ANSWER_SECONDS"),
    "pools_seconds": ("django_jobs.engine.timing", "POOLS_MEMORY_SECONDS"),
    "rate_keys": ("django_jobs.engine.dispatch.rates", "MAX_KEYS"),
    "rate_stripes": ("django_jobs.engine.dispatch.rates", "STRIPES"),
    "short_way_slow_seconds": ("django_jobs.engine.dispatch.new_jobs", "REST.slow_seconds"),
    "window_seconds": ("django_jobs.engine.dispatch.window", "read_window.__defaults__"),
    "worker_fresh_seconds": ("django_jobs.engine.timing", "WORKER_GONE_SECONDS"),
    # The database
    "host_transaction_seconds": ("django_jobs.engine.timing", "TRANSACTION_SIGN_SECONDS"),
    "organization_ids_seconds": ("django_jobs.engine.timing", "ORGANIZATION_ID_SECONDS"),
    # Attempts of jobs
    "handler_begun_seconds": ("django_jobs.engine.timing", "NOTED_BEGUN_SECONDS"),
    "coroutine_repeat_seconds": ("django_jobs.engine.timing", "COROUTINE_CANCEL_REPEAT_SECONDS"),
    "coroutine_watch_seconds": ("django_jobs.engine.timing", "COROUTINE_WATCH_SECONDS"),
    "neighbor_pause_seconds": ("django_jobs.engine.timing", "LEASE_LOOK_SECONDS"),
    "parent_results_characters": ("django_jobs.engine.execution.context", "MAX_CHARACTERS"),
    "policy_answer_seconds": ("django_jobs.engine.timing", "CLAIM_ANSWER_SECONDS"),
    "policy_ask_again_seconds": ("django_jobs.engine.timing", "CLAIM_ANSWER_RENEWAL_SECONDS"),
    "share_ask_seconds": ("django_jobs.engine.timing", "SHARE_POLICY_SECONDS"),
    "share_least_jobs": ("django_jobs.engine.execution.claim", "MIN_SHARE"),
    "steps_of_a_job": (
        ("django_jobs.engine.execution.steps", "MAX_STEPS"),
        ("django_jobs.testing.contexts", "MAX_STEPS"),
    ),
    "steps_page_rows": ("django_jobs.engine.execution.steps", "PAGE"),
    "work_notes_first_pause_seconds": ("django_jobs.engine.timing", "STEP_RETRY_SECONDS"),
    # Workers
    "burst_last_look_seconds": ("django_jobs.engine.timing", "BURST_LAST_LOOK_SECONDS"),
    "burst_rounds": ("django_jobs.worker.supervisor", "MAX_BURST_ROUNDS"),
    "call_threads": ("django_jobs.worker.event_loop", "MOST_THREADS"),
    "claim_ahead_seconds": ("django_jobs.engine.timing", "CLAIM_AHEAD_SECONDS"),
    "claim_doubt_seconds": ("django_jobs.engine.timing", "DOUBTED_CLAIM_SECONDS"),
    "claim_flow_seconds": ("django_jobs.engine.timing", "FREED_PLACE_SECONDS"),
    "claim_second_look_seconds": ("django_jobs.engine.timing", "SECOND_LOOK_SECONDS"),
    "requeue_seconds": ("django_jobs.engine.timing", "REQUEUE_LOOK_SECONDS"),
    "held_ticket_seconds": ("django_jobs.engine.timing", "HELD_ROW_SECONDS"),
    "housekeeper_window_seconds": ("django_jobs.engine.timing", "WANTED_WINDOW_SECONDS"),
    "hung_call_seconds": ("django_jobs.engine.timing", "HUNG_CALL_SECONDS"),
    "idle_thread_seconds": ("django_jobs.engine.timing", "IDLE_CONNECTION_SECONDS"),
    "interruption_put_off_seconds": ("django_jobs.engine.timing", "INTERRUPT_PUT_OFF_SECONDS"),
    "interruption_repeat_seconds": ("django_jobs.engine.timing", "INTERRUPT_REPEAT_SECONDS"),
    "left_behind_task_seconds": ("django_jobs.engine.timing", "LEFT_BEHIND_TASK_SECONDS"),
    "lease_renewer_leave_seconds": ("django_jobs.engine.timing", "RELEASE_LEAVE_SECONDS"),
    "loop_blocked_seconds": ("django_jobs.engine.timing", "LOOP_BLOCKED_SECONDS"),
    "most_held_ticket_seconds": ("django_jobs.engine.timing", "LONGEST_HELD_ROW_SECONDS"),
    "order_pause_seconds": ("django_jobs.engine.timing", "ORDER_LOOK_SECONDS"),
    "rested_connection_seconds": ("django_jobs.engine.timing", "RESTED_CONNECTION_SECONDS"),
    "shown_ticket_seconds": ("django_jobs.engine.timing", "SHOWN_JOB_SECONDS"),
    "stack_answer_seconds": ("django_jobs.engine.timing", "STACKS_SECONDS"),
    "stalled_child_seconds": ("django_jobs.engine.timing", "CHILD_STALL_SECONDS"),
    "stop_margin_seconds": ("django_jobs.engine.timing", "STOP_MARGIN_SECONDS"),
    "timeout_grace_seconds": ("django_jobs.engine.timing", "TIMEOUT_GRACE_SECONDS"),
    # What a process remembers: no public way to forget it, since only a new process has to
    "declarations": ("django_jobs.engine.job_types.types", "_declared"),
    "chosen_stores": ("django_jobs.engine.store.database", "_chosen"),
    "loaded_handlers": ("django_jobs.engine.job_types.handlers", "_loaded"),
    "policy_complained_at": ("django_jobs.engine.access", "_last_complaint"),
    # What the system shows
    "memory_file": ("django_jobs.worker.processes", "_STATM"),
    "processes_directory": ("django_jobs.engine.dispatch.window", "_PROC"),
    "server_look": ("django_jobs.engine.store.postgresql_core", "_LOOK"),
    "threads_directory": ("django_jobs.worker.processes", "_TASKS"),
    # Clocks
    "batch_put_clock": ("django_jobs.worker.child_state", "time"),
    "broadcast_layer_clock": ("django_jobs.realtime.hub", "time"),
    "broker_clock": ("django_jobs.broker.consumer", "time"),
    "child_clock": ("django_jobs.worker.child", "time"),
    "child_watch_clock": ("django_jobs.worker.children", "time"),
    "children_clock": ("django_jobs.worker.children", "time"),
    "claim_clock": ("django_jobs.engine.execution.claim", "time"),
    "claim_doubt_clock": ("django_jobs.worker.child_state", "time"),
    "claims_clock": ("django_jobs.worker.claims", "time"),
    "counting_clock": ("django_jobs.engine.insight.search", "time"),
    "delays_clock": ("django_jobs.engine.dispatch.backlog", "time"),
    "duty_clock": ("django_jobs.engine.scheduler", "time"),
    "enforcement_clock": ("django_jobs.worker.supervisor", "time"),
    "exit_codes_clock": ("django_jobs.worker.child", "time"),
    "file_deletions_clock": ("django_jobs.engine.control.deletion", "time"),
    "shares_clock": (
        ("django_jobs.engine.dispatch.tenant_shares", "time"),
        ("django_jobs.engine.memory", "time"),
    ),
    "foreign_log_clock": ("django_jobs.broker.queues", "time"),
    "foreign_logged_at": ("django_jobs.broker.queues", "_log._last"),
    "flow_clock": ("django_jobs.engine.dispatch.dispatcher", "time"),
    "follow_up_clock": ("django_jobs.engine.dependencies", "time"),
    "in_flight_clock": ("django_jobs.engine.dispatch.in_flight", "time"),
    "interruption_clock": ("django_jobs.worker.interruption", "time"),
    "lane_keys_clock": ("django_jobs.engine.control.lane_keys", "time"),
    "lane_marks_clock": ("django_jobs.engine.dispatch.backlog", "time"),
    "loop_clock": ("django_jobs.worker.child_state", "time"),
    "mail_clock": ("django_jobs.engine.alerts.telling", "time"),
    "newest_jobs_clock": ("django_jobs.engine.memory", "time"),
    "policy_clock": (
        ("django_jobs.engine.execution.claim", "time"),
        ("django_jobs.engine.memory", "time"),
    ),
    "pools_clock": (
        ("django_jobs.engine.dispatch.window", "time"),
        ("django_jobs.engine.memory", "time"),
    ),
    "probe_clock": ("django_jobs.health.notes", "time"),
    "refiller_clock": ("django_jobs.worker.claims", "time"),
    "retention_clock": ("django_jobs.engine.control.retention", "time"),
    "scheduler_clock": ("django_jobs.engine.scheduler", "time"),
    "settle_clock": ("django_jobs.engine.execution.settle", "time"),
    "settler_clock": ("django_jobs.worker.child_state", "time"),
    "shared_slots_clock": ("django_jobs.worker.shared", "time"),
    "slow_ways_clock": ("django_jobs.engine.memory", "time"),
    "sockets_clock": ("django_jobs.realtime.connections", "time"),
    "stop_relay_clock": ("django_jobs.worker.child", "time"),
    "seen_tasks_clock": ("django_jobs.engine.memory", "time"),
    "supervisor_clock": ("django_jobs.worker.supervisor", "time"),
    "thread_slots_clock": ("django_jobs.worker.slots", "time"),
    "visibility_clock": ("django_jobs.engine.memory", "time"),
    "window_clock": (
        ("django_jobs.engine.dispatch.window", "time"),
        ("django_jobs.engine.memory", "time"),
    ),
}

#: Holds for every test, so that a slow machine passes it, but where a test is about these.
PATIENT: Final[dict[str, Any]] = {
    # Whoever commits, and a duty of some tenths of a second, get through.
    "batch_call_seconds": 60.0,
    "batch_counting_seconds": 60.0,
    "batch_duty_seconds": 60.0,
    "delays_seconds": 60.0,
    "expirations_seconds": 60.0,
    "follow_up_commit_seconds": math.inf,
    "follow_up_tick_seconds": math.inf,
    "lane_keys_seconds": 60.0,
    "rollup_seconds": 60.0,
    "sweep_step_seconds": 60.0,
    # Whoever submits queues the job, too. A collection of all that a long run of tests has left takes long.
    "late_broker_seconds": 60.0,
    # No walk begins at a mark.
    "in_flight_slow_seconds": math.inf,
    "lane_marks_slow_question_seconds": math.inf,
    "lane_marks_slow_seconds": math.inf,
    "short_way_slow_seconds": math.inf,
    # A failing policy is told anew.
    "policy_complained_at": -math.inf,
}

#: What a process remembers for a second or some lasts as long as a test. A test of how long that is moves a clock.
LASTING_MEMORIES: Final[dict[str, Any]] = {
    "alert_reading_seconds": 60.0,
    "limit_answer_seconds": 60.0,
    "navigation_counts_seconds": 60.0,
    "newest_jobs_seconds": 60.0,
    "organization_ids_seconds": 60.0,
    "policy_answer_seconds": 60.0,
    "pools_seconds": 60.0,
    "window_seconds": (60.0,),
}

#: A worker whose handler will not stop in any case is killed a second after its time, not five.
SHORT_GRACE: Final[dict[str, Any]] = {"stop_margin_seconds": 1.0, "timeout_grace_seconds": 1.0}


class Tuning:
    """Sets knobs until its end."""

    def __init__(self) -> None:
        self._before: list[tuple[Any, str, Any]] = []

    def set(self, **values: Any) -> None:
        for knob, value in values.items():
            for owner, name in _places(knob):
                self._before.append((owner, name, getattr(owner, name)))
                setattr(owner, name, value)

    def let_be(self, *knobs: str) -> None:
        """Let these be as in production, whatever was set."""
        shipped = {(id(owner), name): value for owner, name, value in reversed(self._before)}
        for knob in knobs:
            for owner, name in _places(knob):
                setattr(owner, name, shipped.get((id(owner), name), getattr(owner, name)))

    def __enter__(self) -> Tuning:
        return self

    def __exit__(self, *error: object) -> None:
        while self._before:
            setattr(*self._before.pop())


def forget_everything() -> None:
    """Let the engine remember as little as in a new process."""
    from django_jobs.engine import memory, observers

    memory.forget_all()
    for observer in observers.all_of_them():
        observers.remove(observer)


def set_for_good(**values: Any) -> None:
    """Set knobs that nobody puts back, as in a process that ends with this."""
    Tuning().set(**values)


def tuned(**values: Any) -> dict[str, str]:
    """The environment of a process in which these knobs are set."""
    for knob in values:
        _places_of(knob)
    return {VARIABLE: json.dumps(values)}


def set_what_the_environment_names() -> None:
    set_for_good(**json.loads(os.environ[VARIABLE]))


class Tuned(AppConfig):
    """``tests.settings`` install it where the environment names something."""

    name = "tests.support"
    label = "tuned"

    def ready(self) -> None:
        set_what_the_environment_names()


def _places_of(knob: str) -> tuple[Place, ...]:
    if knob not in KNOBS:
        near = ", ".join(difflib.get_close_matches(knob, KNOBS)) or "none"
        raise LookupError(f"There is no knob {knob!r} in {__name__}.KNOBS. Similar ones: {near}.")
    found: Any = KNOBS[knob]
    return found if isinstance(found[0], tuple) else (found,)


@functools.cache
def _places(knob: str) -> list[tuple[Any, str]]:
    return [_found(place) for place in _places_of(knob)]


@functools.cache
def _found(place: Place) -> tuple[Any, str]:
    module, path = place
    *owners, name = path.split(".")
    return functools.reduce(getattr, owners, import_module(module)), name
