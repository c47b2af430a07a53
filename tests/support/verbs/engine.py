"""The engine, in the order of the work."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    # Submit
    from django_jobs.engine.job_types.declaration_problems import problems as declaration_problems
    from django_jobs.engine.job_types.declarations import declared as declared_handlers
    from django_jobs.engine.job_types.declarations import discover as discover_handlers
    from django_jobs.engine.job_types.declared_types import differences as declaration_differences
    from django_jobs.engine.job_types.declared_types import sync_declared_types
    from django_jobs.engine.job_types.handlers import entered_path_problem
    from django_jobs.engine.job_types.handlers import path_problem as handler_path_problem
    from django_jobs.engine.job_types.handlers import resolve as resolve_handler
    from django_jobs.engine.job_types.handlers import HandlerNotAllowed
    from django_jobs.engine.job_types.handlers import HandlerNotLoadable
    from django_jobs.engine.job_types.lane_keys import is_rekeyed
    from django_jobs.engine.job_types.lane_keys import lane_key
    from django_jobs.engine.job_types.masking import hidden_from
    from django_jobs.engine.job_types.parameters import parameters_schema
    from django_jobs.engine.job_types.parameters import validate as validate_parameters
    from django_jobs.engine.job_types.parameters import validated_data as validated_parameters
    from django_jobs.engine.job_types.unloadable import find as find_unloadable
    from django_jobs.engine.job_types.unloadable import reasons as unloadable_reasons
    from django_jobs.engine.submission.building import work_hash
    from django_jobs.engine.submission.duplicates import after_migrate
    from django_jobs.engine.submission.duplicates import find as find_duplicates
    from django_jobs.engine.submission.duplicates import forget_expired as forget_expired_keys
    from django_jobs.engine.submission.from_handlers import submit as submit_from_handler
    from django_jobs.engine.submission.insertion import insert_all
    from django_jobs.engine.submission.limits import waiting as count_waiting
    from django_jobs.engine.submission.per_organization import submit_each
    from django_jobs.engine.submission.replacement import replace as replace_job
    from django_jobs.engine.submission.rights import submittable
    from django_jobs.engine.submission.rights import Authorizer
    from django_jobs.engine.submission.single import submit as submit_single
    from django_jobs.engine.submission.targets import forget as forget_targets
    from django_jobs.engine.submission.targets import TargetsChanged
    from django_jobs.engine.json_storage import NotStorable

    # Announce workers
    from django_jobs.engine.dispatch.worker_registry import announce as announce_worker
    from django_jobs.engine.dispatch.worker_registry import withdraw as withdraw_worker
    from django_jobs.engine.dispatch.worker_registry import Supervision

    # Dispatch
    from django_jobs.engine.dispatch.dispatcher import anything_queued
    from django_jobs.engine.dispatch.dispatcher import dispatch
    from django_jobs.engine.dispatch.dispatcher import dispatch_new
    from django_jobs.engine.dispatch.dispatcher import dispatch_without_budget
    from django_jobs.engine.dispatch.dispatcher import refill
    from django_jobs.engine.dispatch.dispatcher import refill_if_empty
    from django_jobs.engine.dispatch.dispatcher import wake
    from django_jobs.engine.dispatch.new_jobs import goes_at_once
    from django_jobs.engine.dispatch.new_jobs import goes_first
    from django_jobs.engine.dispatch.new_jobs import takes_no_turn
    from django_jobs.engine.dispatch.short_way import at_once as dispatch_at_once
    from django_jobs.engine.dispatch.freed_places import dispatch as dispatch_freed
    from django_jobs.engine.dispatch.turns import fill_window
    from django_jobs.engine.dispatch.turns import take_share as take_turns_share
    from django_jobs.engine.dispatch.round_robin import pick as pick_jobs
    from django_jobs.engine.dispatch.weighted_turns import turns as weighted_turns
    from django_jobs.engine.dispatch.turn_credits import Credits as TurnCredits
    from django_jobs.engine.dispatch.first_turns import contest as contest_first_turns
    from django_jobs.engine.dispatch.tenant_shares import forget as forget_tenant_shares
    from django_jobs.engine.dispatch.tenant_shares import share_of
    from django_jobs.engine.dispatch.tenant_shares import shares_of
    from django_jobs.engine.dispatch.tenant_shares import Share
    from django_jobs.engine.dispatch.backlog import bound_of as backlog_bound
    from django_jobs.engine.dispatch.backlog import pages as backlog_pages
    from django_jobs.engine.dispatch.pass_state import limits_of
    from django_jobs.engine.dispatch.in_flight import count_in_flight
    from django_jobs.engine.dispatch.in_flight import forget as forget_in_flight
    from django_jobs.engine.dispatch.in_flight import queued_of as queued_jobs_of
    from django_jobs.engine.dispatch.in_flight import read as read_in_flight
    from django_jobs.engine.dispatch.lane_marks import forget as forget_lane_marks
    from django_jobs.engine.dispatch.lane_marks import read as read_lane_marks
    from django_jobs.engine.dispatch.held_jobs import forget as forget_held_jobs
    from django_jobs.engine.dispatch.held_jobs import note as note_held_jobs
    from django_jobs.engine.dispatch.window import forget as forget_window
    from django_jobs.engine.dispatch.window import live_workers
    from django_jobs.engine.dispatch.window import read_window
    from django_jobs.engine.dispatch.pools import forget as forget_pools
    from django_jobs.engine.dispatch.pools import pool_of
    from django_jobs.engine.dispatch.breakers import may_hold as breaker_may_hold
    from django_jobs.engine.dispatch.breakers import read_held as read_held_breakers
    from django_jobs.engine.dispatch.start_rates import read as read_start_rates
    from django_jobs.engine.dispatch.start_rates import StartRates
    from django_jobs.engine.dispatch.start_records import started_at
    from django_jobs.engine.dispatch.start_windows import Attempt as StartAttempt
    from django_jobs.engine.dispatch.type_rates import StartLimit
    from django_jobs.engine.dispatch.delays import bring_due
    from django_jobs.engine.dispatch.expirations import expire as expire_jobs
    from django_jobs.engine.dispatch.clock_set_back import make_due as make_due_at_once
    from django_jobs.engine.dispatch.flow_clock import FlowClock
    from django_jobs.engine.dispatch.flow_clock import FlowThread
    from django_jobs.engine.dispatch.flow_times import note as note_flow_time
    from django_jobs.engine.dispatch.flow_times import seconds_until_next as seconds_until_next_flow
    from django_jobs.engine.dispatch.dispatch_lock import is_stuck as is_dispatch_stuck
    from django_jobs.engine.dispatch.dispatch_lock import look as look_at_dispatch_lock
    from django_jobs.engine.dispatch.dispatch_lock import take as take_dispatch_lock
    from django_jobs.engine.dispatch.time_budget import TimeBudget
    from django_jobs.engine.dispatch.rests import Rest
    from django_jobs.engine.dispatch.ticketing import push_queued
    from django_jobs.engine.dispatch.ticketing import push as push_tickets
    from django_jobs.engine.dispatch.ticketing import withdraw as withdraw_tickets
    from django_jobs.engine.dispatch.ticketing import Queued
    from django_jobs.engine.dispatch.reconciliation import check_broker
    from django_jobs.engine.dispatch.reconciliation import installation_id
    from django_jobs.engine.dispatch.reconciliation import TicketWatch

    # Claim
    from django_jobs.engine.claimed_job import current_job
    from django_jobs.engine.claimed_job import Claimed
    from django_jobs.engine.execution.claim import claim
    from django_jobs.engine.execution.claim_verdicts import likeness as claim_likeness
    from django_jobs.engine.execution.claim_verdicts import forget as forget_claim_verdicts
    from django_jobs.engine.execution.claim_verdicts import known_handler
    from django_jobs.engine.execution.policy_memory import refusal_of as policy_refusal
    from django_jobs.engine.execution.claim_verdicts import known as known_verdicts
    from django_jobs.engine.execution.policy_memory import ask_again as ask_policy_again
    from django_jobs.engine.execution.shares import are_possible as are_shares_possible
    from django_jobs.engine.execution.shares import take_share
    from django_jobs.engine.execution.shares import Taker as ShareTaker
    from django_jobs.engine.execution.unbegun import start as start_unbegun
    from django_jobs.engine.execution.unbegun import start_known
    from django_jobs.engine.execution.breakers import have_failed_too_often
    from django_jobs.engine.execution.breakers import is_known_open as is_breaker_known_open

    # Run
    from django_jobs.engine.execution.handler_run import attempt
    from django_jobs.engine.execution.handler_run import context_for
    from django_jobs.engine.execution.handler_run import run
    from django_jobs.engine.execution.progress import write as write_progress
    from django_jobs.engine.execution.progress import ProgressBuffer
    from django_jobs.engine.execution.outputs import delete_all as delete_outputs
    from django_jobs.engine.execution.outputs import jobs_with_files
    from django_jobs.engine.execution.outputs import belongs_to as output_belongs_to
    from django_jobs.engine.execution.outputs import save as save_output
    from django_jobs.engine.execution.retry_policy import classify as classify_error
    from django_jobs.engine.execution.ownership import is_owned

    # Settle
    from django_jobs.engine.execution import outcomes
    from django_jobs.engine.execution.outcomes import Interrupted
    from django_jobs.engine.execution.outcomes import Outcome
    from django_jobs.engine.execution.outcomes import Returned
    from django_jobs.engine.execution.settle import return_to_queue
    from django_jobs.engine.execution.settle import settle
    from django_jobs.engine.execution.settle import settle_all
    from django_jobs.engine.execution.settle import settle_lost
    from django_jobs.engine.execution.settle import settle_timed_out
    from django_jobs.engine.execution.completions import complete as complete_jobs

    # Lose
    from django_jobs.engine.execution.leases import give_up_claim
    from django_jobs.engine.execution.leases import hand_back
    from django_jobs.engine.execution.leases import held_by as leases_held_by
    from django_jobs.engine.execution.leases import note_begun
    from django_jobs.engine.execution.leases import release_worker
    from django_jobs.engine.execution.leases import renew as renew_leases
    from django_jobs.engine.execution.leases import rescue_expired
    from django_jobs.engine.execution.leases import Loss
    from django_jobs.engine.execution.neighbors import Neighbors

    # Follow up
    from django_jobs.engine.dependencies.children import decide as decide_children
    from django_jobs.engine.dependencies.children import Decided
    from django_jobs.engine.dependencies.follow_up import follow_up
    from django_jobs.engine.dependencies.follow_up import in_tick as follow_up_in_tick
    from django_jobs.engine.batches.counting import in_tick as count_batches
    from django_jobs.engine.batches.pace import Pace as BatchPace
    from django_jobs.engine.batches.status import describe as describe_batch

    # Control
    from django_jobs.engine.control.audit import record as record_act
    from django_jobs.engine.control.audit import Act
    from django_jobs.engine.control.batch_duties import in_tick as do_batch_duties
    from django_jobs.engine.control.batch_duties import expire as expire_batches
    from django_jobs.engine.control.batch_duties import forget_old as forget_old_batches
    from django_jobs.engine.control.breakers import close_breaker
    from django_jobs.engine.control.cancel import cancel_many
    from django_jobs.engine.control.cleanup import forget_workers
    from django_jobs.engine.control.deletion import delete_rows as delete_job_rows
    from django_jobs.engine.control.deletion import delete_jobs
    from django_jobs.engine.control.erasure import meant_by_id
    from django_jobs.engine.control.erasure import meant_by_key
    from django_jobs.engine.control.erasure import measure
    from django_jobs.engine.control.erasure import CappedCount as ErasureCount
    from django_jobs.engine.control.file_deletions import Sweep as FileSweep
    from django_jobs.engine.control.lane_keys import LaneKeyWatch
    from django_jobs.engine.control.named_jobs import cancel_named
    from django_jobs.engine.control.named_jobs import retry_named
    from django_jobs.engine.control.named_jobs import NamedOutcome
    from django_jobs.engine.control.operation_actions import perform as perform_operation
    from django_jobs.engine.control.operation_actions import Order as OperationOrder
    from django_jobs.engine.control.operation_actions import Performed
    from django_jobs.engine.control.operation_outcomes import count as count_outcomes
    from django_jobs.engine.control.operation_outcomes import read as read_outcome_counts
    from django_jobs.engine.control.operation_outcomes import OutcomeCounts
    from django_jobs.engine.control.operation_requests import Request as OperationRequest
    from django_jobs.engine.control.operation_rights import Rights as OperationRights
    from django_jobs.engine.control.operation_status import describe_operations
    from django_jobs.engine.control.operation_work import work_off as work_off_operations
    from django_jobs.engine.control.operation_work import OperationWork
    from django_jobs.engine.control.operations import estimate as estimate_operation
    from django_jobs.engine.control.operations import forget_old as forget_old_operations
    from django_jobs.engine.control.operations import pause as pause_operation
    from django_jobs.engine.control.operations import resume as resume_operation
    from django_jobs.engine.control.operations import set_rate as set_operation_rate
    from django_jobs.engine.control.operations import start_operation
    from django_jobs.engine.control.operations import stop as stop_operation
    from django_jobs.engine.control.operations_under_way import under_way as operation_under_way
    from django_jobs.engine.control.operations_under_way import same_under_way as same_operation_under_way
    from django_jobs.engine.control.pruning import Pruning
    from django_jobs.engine.control.retention import Pruner
    from django_jobs.engine.control.saved_tenants import may_reuse_keys
    from django_jobs.engine.control.sweeps import SweepThreads
    from django_jobs.engine.control.sweeps import Sweeps
    from django_jobs.engine.control.switches import pause_type
    from django_jobs.engine.control.switches import resume_type
    from django_jobs.engine.control.switches import set_active as set_organization_active
    from django_jobs.engine.control.tenants import organization_pks
    from django_jobs.engine.control.tenants import OrphanWatch
    from django_jobs.engine.control.type_retention import TypePruner
    from django_jobs.engine.control.waiting_changes import run_now
    from django_jobs.engine.control.waiting_changes import set_priority
    from django_jobs.engine.control.worker_orders import give as give_order
    from django_jobs.engine.control.worker_orders import note_left as note_order_left
    from django_jobs.engine.control.worker_orders import note_obeyed as note_order_obeyed
    from django_jobs.engine.control.worker_orders import read as read_orders
    from django_jobs.engine.control.worker_orders import Order

    # Schedules
    from django_jobs.engine.schedules.clockwork import Clockwork
    from django_jobs.engine.schedules.clockwork import ClockworkThread
    from django_jobs.engine.schedules.declared_schedules import schedules_of
    from django_jobs.engine.schedules.declared_schedules import sync_declared_schedules
    from django_jobs.engine.schedules.definition_checks import check_definition
    from django_jobs.engine.schedules.definition_checks import values_of as definition_values
    from django_jobs.engine.schedules.definitions import change_schedule
    from django_jobs.engine.schedules.definitions import create_schedule
    from django_jobs.engine.schedules.definitions import erase_schedules
    from django_jobs.engine.schedules.definitions import pause_schedule
    from django_jobs.engine.schedules.definitions import resume_schedule
    from django_jobs.engine.schedules.definitions import take_over as take_over_schedule
    from django_jobs.engine.schedules.firing import fire_now
    from django_jobs.engine.schedules.firing import fire_one
    from django_jobs.engine.schedules.firing import fire_round
    from django_jobs.engine.schedules.previews import preview as preview_schedule
    from django_jobs.engine.schedules.schedule_rights import may_manage as may_manage_schedule
    from django_jobs.engine.schedules.schedule_rights import visible_schedules
    from django_jobs.engine.schedules.schedule_submission import submit_for as submit_for_schedule
    from django_jobs.engine.schedules.upkeep import History as FiringHistory

    # Insight
    from django_jobs.engine.insight.activity import add as add_activity
    from django_jobs.engine.insight.batch_diagnostics import examine_batches
    from django_jobs.engine.insight.batch_diagnostics import troubled_batches
    from django_jobs.engine.insight.breakers import examine_breakers
    from django_jobs.engine.insight.breakers import held_types
    from django_jobs.engine.insight.breakers import open_breakers
    from django_jobs.engine.insight.counting_in_time import count_in_time
    from django_jobs.engine.insight.diagnostics import examine
    from django_jobs.engine.insight.events import submitted as announce_submitted
    from django_jobs.engine.insight.events import changed
    from django_jobs.engine.insight.failures import failed_jobs
    from django_jobs.engine.insight.failures import newest_jobs as newest_failed_jobs
    from django_jobs.engine.insight.failures import read_failures
    from django_jobs.engine.insight.failures import Group as FailureGroup
    from django_jobs.engine.insight.filter_input import read_filter
    from django_jobs.engine.insight.findings import Finding
    from django_jobs.engine.insight.gauges import read_gauges
    from django_jobs.engine.insight.inspection import has_jobs
    from django_jobs.engine.insight.inspection import snapshot
    from django_jobs.engine.insight.job_filter import JobFilter
    from django_jobs.engine.insight.limits_in_use import read_full_types
    from django_jobs.engine.insight.limits_in_use import read_in_use as read_limits_in_use
    from django_jobs.engine.insight.limits_in_use import Reached as ReachedLimit
    from django_jobs.engine.insight.neglected_jobs import count_neglected
    from django_jobs.engine.insight.newest_jobs import among_newest
    from django_jobs.engine.insight.newest_jobs import doubt as doubt_newest_jobs
    from django_jobs.engine.insight.newest_jobs import forget as forget_newest_jobs
    from django_jobs.engine.insight.operation_speed import read_speeds as read_operation_speeds
    from django_jobs.engine.insight.operation_speed import Speed as OperationSpeed
    from django_jobs.engine.insight.raised_errors import last_traceback
    from django_jobs.engine.insight.required_permissions import unknown_permissions
    from django_jobs.engine.insight.rollups import catch_up as catch_up_rollups
    from django_jobs.engine.insight.rollups import forget_old as forget_old_rollups
    from django_jobs.engine.insight.rollups import roll_up
    from django_jobs.engine.insight.rollups import behind as rollups_behind
    from django_jobs.engine.insight.schedule_diagnostics import examine_schedules
    from django_jobs.engine.insight.share_diagnostics import examine_shares
    from django_jobs.engine.insight.signal_delivery import work_in_background as deliver_signals_in_background
    from django_jobs.engine.insight.signal_delivery import stop as stop_signal_delivery
    from django_jobs.engine.insight.signal_delivery import tell_process_started
    from django_jobs.engine.insight.similar_names import similar_job_types
    from django_jobs.engine.insight.similar_names import similar_jobs
    from django_jobs.engine.insight.similar_names import similar as similar_names
    from django_jobs.engine.insight.similar_names import similar_organizations
    from django_jobs.engine.insight.status import describe as describe_job
    from django_jobs.engine.insight.status import describe_all as describe_jobs
    from django_jobs.engine.insight.tenant_tables import swapped_from
    from django_jobs.engine.insight.type_diagnostics import examine_types
    from django_jobs.engine.insight.waiting import Wait as JobWait

    # Alerts
    from django_jobs.engine.alerts.admin_mail import send_to_admins
    from django_jobs.engine.alerts.announcements import announce as announce_alert
    from django_jobs.engine.alerts.evaluation import Evaluator as AlertEvaluator
    from django_jobs.engine.alerts.findings import Finding as AlertFinding
    from django_jobs.engine.alerts.mail_texts import mail_about
    from django_jobs.engine.alerts.mail_texts import Entry
    from django_jobs.engine.alerts.mails import Mailer as AlertMailer
    from django_jobs.engine.alerts.reading import forget as forget_alerts
    from django_jobs.engine.alerts.reading import read_all_alerts
    from django_jobs.engine.alerts.records import key_of as alert_key
    from django_jobs.engine.alerts.records import clear as clear_alert
    from django_jobs.engine.alerts.records import raise_alert

    # Duties
    from django_jobs.engine.scheduler import Scheduler
    from django_jobs.engine.duty_watch import stalled as stalled_duties
    from django_jobs.engine.duty_watch import DutyWatch

    # What all share
    from django_jobs.engine.access import get_policy
    from django_jobs.engine.access import may_start
    from django_jobs.engine.access import organizations_seen_by
    from django_jobs.engine.actors import user_named
    from django_jobs.engine.broadcaster import drain_broadcasts
    from django_jobs.engine.broadcaster import get_broadcaster
    from django_jobs.engine.broadcaster import use_broadcaster
    from django_jobs.engine.foreign_entries import ForeignEntry
    from django_jobs.engine.foreign_entries import SetAside
    from django_jobs.engine.log_lines import LineBuffer
    from django_jobs.engine.logs import install as install_job_fields
    from django_jobs.engine.lookup import find_job
    from django_jobs.engine.transitions.hooks import announcer
    from django_jobs.engine.lookup import find_organization_pk
    from django_jobs.engine.observers import add as add_observer
    from django_jobs.engine.observers import all_of_them as all_observers
    from django_jobs.engine.observers import drain as drain_observers
    from django_jobs.engine.observers import remove as remove_observer
    from django_jobs.engine.ports import broker_in_place
    from django_jobs.engine.ports import get_broker
    from django_jobs.engine.ports import use_broker
    from django_jobs.engine.ports import Broker
    from django_jobs.engine.ports import Consumer
    from django_jobs.engine.ports import Look as QueueLook
    from django_jobs.engine.ports import RunningTicket
    from django_jobs.engine.ports import Taken as TakenTicket
    from django_jobs.engine.ports import Ticket
    from django_jobs.engine.process_counts import count as count_in_process
    from django_jobs.engine.process_counts import is_counting
    from django_jobs.engine.process_counts import start as start_counting
    from django_jobs.engine.process_counts import stop as stop_counting
    from django_jobs.engine.process_counts import Key as CountKey
    from django_jobs.engine.process_counts import ProcessCounts
    from django_jobs.engine.processes import describe as describe_process
    from django_jobs.engine.processes import place as place_of_process
    from django_jobs.engine.sockets.open_sockets import Seat as SocketSeat
    from django_jobs.engine.sockets.open_sockets import Seats as SocketSeats
    from django_jobs.engine.sockets.tickets import forget_expired as forget_expired_socket_tickets
    from django_jobs.engine.sockets.tickets import make_ticket as make_socket_ticket
    from django_jobs.engine.sockets.tickets import use_ticket as use_socket_ticket
    from django_jobs.engine.uptime import seconds as uptime
    from django_jobs.engine.execution.vanished import end
