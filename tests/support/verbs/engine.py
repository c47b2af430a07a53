"""The engine, in the order of the work."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    # Submit
    from django_jobs.engine.job_types.declared_types import declaration_problems
    from django_jobs.engine.job_types.types import declared_types as declared_handlers
    from django_jobs.engine.job_types.types import discover_declarations as discover_handlers
    from django_jobs.engine.job_types.declared_types import type_differences as declaration_differences
    from django_jobs.engine.job_types.declared_types import sync_declared_types
    from django_jobs.engine.job_types.handlers import entered_path_problem
    from django_jobs.engine.job_types.handlers import path_problem as handler_path_problem
    from django_jobs.engine.job_types.handlers import resolve_handler
    from django_jobs.engine.job_types.handlers import HandlerNotAllowed
    from django_jobs.engine.job_types.handlers import HandlerNotLoadable
    from django_jobs.engine.job_types.parameters import is_rekeyed
    from django_jobs.engine.job_types.parameters import lane_key
    from django_jobs.engine.job_types.masking import hidden_from
    from django_jobs.engine.job_types.parameters import parameters_schema
    from django_jobs.engine.job_types.parameters import validate as validate_parameters
    from django_jobs.engine.job_types.parameters import validated_data as validated_parameters
    from django_jobs.engine.job_types.handlers import find_unloadable
    from django_jobs.engine.job_types.handlers import unloadable_reasons
    from django_jobs.engine.submission.targets import work_of
    from django_jobs.engine.submission.targets import work_hash
    from django_jobs.engine.submission.same_work import after_migrate
    from django_jobs.engine.submission.same_work import find_duplicates
    from django_jobs.engine.submission.same_work import forget_expired_keys
    from django_jobs.engine.submission.submit import submit_from_handler
    from django_jobs.engine.submission.submit import insert_jobs as insert_all
    from django_jobs.engine.submission.same_work import waiting as count_waiting
    from django_jobs.engine.submission.submit import submit_each
    from django_jobs.engine.submission.same_work import replace_jobs
    from django_jobs.engine.submission.submit import submit_or_find as submit_single
    from django_jobs.engine.submission.targets import forget_targets
    from django_jobs.engine.submission.targets import TargetsChanged
    from django_jobs.engine.json_storage import NotStorable

    # Announce workers
    from django_jobs.engine.dispatch.window import announce_worker
    from django_jobs.engine.dispatch.window import withdraw_worker

    # Dispatch
    from django_jobs.engine.dispatch.dispatcher import dispatch_what_is_left
    from django_jobs.engine.dispatch.dispatcher import dispatch
    from django_jobs.engine.dispatch.dispatcher import dispatch_new
    from django_jobs.engine.dispatch.dispatcher import dispatch_patiently
    from django_jobs.engine.dispatch.dispatcher import refill
    from django_jobs.engine.dispatch.dispatcher import wake
    from django_jobs.engine.dispatch.new_jobs import condition_at_insert
    from django_jobs.engine.dispatch.new_jobs import condition_when_stored
    from django_jobs.engine.dispatch.dispatcher import dispatch_freed
    from django_jobs.engine.dispatch.turns import fill_window
    from django_jobs.engine.dispatch.turns import take_share as take_turns_share
    from django_jobs.engine.dispatch.turns import pick as pick_jobs
    from django_jobs.engine.dispatch.turns import Turns as WeightedTurns
    from django_jobs.engine.memory import forget_all as forget_tenant_shares
    from django_jobs.engine.dispatch.tenant_shares import share_of
    from django_jobs.engine.dispatch.tenant_shares import shares_of
    from django_jobs.engine.dispatch.tenant_shares import Share
    from django_jobs.engine.dispatch.backlog import bound_of as backlog_bound
    from django_jobs.engine.dispatch.backlog import pages as backlog_pages
    from django_jobs.engine.dispatch.limits import limits_of
    from django_jobs.engine.dispatch.in_flight import count_in_flight
    from django_jobs.engine.dispatch.in_flight import forget_in_flight
    from django_jobs.engine.dispatch.in_flight import queued_of as queued_jobs_of
    from django_jobs.engine.dispatch.in_flight import read_in_flight
    from django_jobs.engine.dispatch.backlog import forget_marks as forget_lane_marks
    from django_jobs.engine.dispatch.backlog import read_marks as read_lane_marks
    from django_jobs.engine.memory import forget_all as forget_held_jobs
    from django_jobs.engine.dispatch.in_flight import note_held as note_held_jobs
    from django_jobs.engine.dispatch.window import forget_window
    from django_jobs.engine.dispatch.window import live_workers
    from django_jobs.engine.dispatch.window import read_window
    from django_jobs.engine.dispatch.window import forget_pools
    from django_jobs.engine.dispatch.window import pool_of
    from django_jobs.engine.dispatch.limits import may_hold as breaker_may_hold
    from django_jobs.engine.dispatch.limits import read_held as read_held_breakers
    from django_jobs.engine.dispatch.rates import read_rates as read_start_rates
    from django_jobs.engine.dispatch.rates import StartRates
    from django_jobs.engine.dispatch.rates import started_at
    from django_jobs.engine.dispatch.rates import Attempt as StartAttempt
    from django_jobs.engine.dispatch.rates import StartLimit
    from django_jobs.engine.dispatch.backlog import bring_due
    from django_jobs.engine.dispatch.backlog import expire_jobs
    from django_jobs.engine.dispatch.dispatcher import FlowClock
    from django_jobs.engine.dispatch.in_flight import look_at_lock as look_at_dispatch_lock
    from django_jobs.engine.dispatch.in_flight import take_lock as take_dispatch_lock
    from django_jobs.engine.memory import Rest
    from django_jobs.engine.dispatch.tickets import push_tickets
    from django_jobs.engine.dispatch.tickets import unqueue
    from django_jobs.engine.dispatch.tickets import Queued
    from django_jobs.engine.dispatch.tickets import check_broker
    from django_jobs.engine.dispatch.tickets import installation_id
    from django_jobs.engine.dispatch.tickets import TicketWatch

    # Claim
    from django_jobs.engine.claimed_job import current_job
    from django_jobs.engine.claimed_job import Claimed
    from django_jobs.engine.execution.claim import claim_jobs as claim
    from django_jobs.engine.execution.claim import claimed_job
    from django_jobs.engine.execution.claim import forget_verdicts as forget_claim_verdicts
    from django_jobs.engine.execution.claim import known_handler
    from django_jobs.engine.execution.claim import refusal_of as policy_refusal
    from django_jobs.engine.execution.claim import ask_again as ask_policy_again
    from django_jobs.engine.execution.claim import take_share
    from django_jobs.engine.execution.claim import move_to_running

    # Run
    from django_jobs.engine.execution.run import attempt_handler as attempt
    from django_jobs.engine.execution.context import JobContext as context_for  # noqa: N813
    from django_jobs.engine.execution.run import run_handler as run
    from django_jobs.engine.execution.context import write as write_progress
    from django_jobs.engine.execution.context import ProgressBuffer
    from django_jobs.engine.execution.context import Runner
    from django_jobs.engine.execution.context import delete_outputs
    from django_jobs.engine.execution.context import jobs_with_files
    from django_jobs.engine.execution.context import output_belongs_to
    from django_jobs.engine.execution.context import save_output
    from django_jobs.engine.execution.outcomes import classify as classify_error
    from django_jobs.engine.execution.leases import is_owned

    # Settle
    from django_jobs.engine.execution import outcomes
    from django_jobs.engine.execution.outcomes import Interrupted
    from django_jobs.engine.execution.outcomes import Outcome
    from django_jobs.engine.execution.outcomes import Returned
    from django_jobs.engine.execution.settle import requeue
    from django_jobs.engine.execution.settle import settle
    from django_jobs.engine.execution.settle import settle_all
    from django_jobs.engine.execution.settle import settle_lost
    from django_jobs.engine.execution.settle import settle_timed_out
    from django_jobs.engine.execution.settle import complete_jobs

    # Lose
    from django_jobs.engine.execution.leases import give_up_claim
    from django_jobs.engine.execution.leases import requeue_attempts
    from django_jobs.engine.execution.leases import held_by as leases_held_by
    from django_jobs.engine.execution.leases import note_begun
    from django_jobs.engine.execution.leases import end_lost_worker
    from django_jobs.engine.execution.leases import renew_leases
    from django_jobs.engine.execution.leases import rescue_expired
    from django_jobs.engine.execution.leases import Loss
    from django_jobs.engine.execution.leases import Neighbors

    # Follow up
    from django_jobs.engine.dependencies import decide as decide_children
    from django_jobs.engine.dependencies import Decided
    from django_jobs.engine.dependencies import follow_up
    from django_jobs.engine.dependencies import follow_up_in_tick
    from django_jobs.engine.batches import count_in_tick as count_batches
    from django_jobs.engine.batches import BatchLooks
    from django_jobs.engine.batches import describe_batch

    # Control
    from django_jobs.engine.control.audit import record as record_act
    from django_jobs.engine.control.audit import Act
    from django_jobs.engine.control.batches import act_on_batch
    from django_jobs.engine.control.batches import batch_duties_in_tick as do_batch_duties
    from django_jobs.engine.control.batches import expire_batches
    from django_jobs.engine.control.batches import forget_old_batches
    from django_jobs.engine.control.switches import close_breaker
    from django_jobs.engine.control.retention import forget_workers
    from django_jobs.engine.control.deletion import delete_rows as delete_job_rows
    from django_jobs.engine.control.deletion import delete_files_of
    from django_jobs.engine.control.deletion import Deletion
    from django_jobs.engine.control.tenants import meant_by_id
    from django_jobs.engine.control.tenants import meant_by_key
    from django_jobs.engine.control.tenants import measure
    from django_jobs.engine.control.tenants import DeletionSize as ErasureCount
    from django_jobs.engine.control.deletion import FileSweep
    from django_jobs.engine.control.lane_keys import LaneKeyWatch
    from django_jobs.engine.control.acts import act
    from django_jobs.engine.control.acts import delete_job
    from django_jobs.engine.control.acts import ActOutcome
    from django_jobs.engine.control.acts import members as act_members
    from django_jobs.engine.control.acts import perform as perform_operation
    from django_jobs.engine.control.acts import Order as OperationOrder
    from django_jobs.engine.control.acts import Performed
    from django_jobs.engine.control.operation_work import count_outcomes
    from django_jobs.engine.control.operation_work import read as read_outcome_counts
    from django_jobs.engine.control.operation_work import OutcomeCounts
    from django_jobs.engine.control.operations import OperationRequest
    from django_jobs.engine.control.acts import ActRights
    from django_jobs.engine.control.operations import describe_operations
    from django_jobs.engine.control.operation_work import OperationWork
    from django_jobs.engine.control.operations import estimate as estimate_operation
    from django_jobs.engine.control.operations import forget_old as forget_old_operations
    from django_jobs.engine.control.operations import pause as pause_operation
    from django_jobs.engine.control.operations import resume as resume_operation
    from django_jobs.engine.control.operations import set_rate as set_operation_rate
    from django_jobs.engine.control.operations import start_operation
    from django_jobs.engine.control.operations import stop as stop_operation
    from django_jobs.engine.control.tenants import erase_jobs
    from django_jobs.engine.control.retention import Pruner
    from django_jobs.engine.organizations import may_reuse_keys
    from django_jobs.engine.scheduler import DutyThread
    from django_jobs.engine.control.retention import Sweeps
    from django_jobs.engine.pausing import set_paused
    from django_jobs.engine.control.switches import set_active as set_organization_active
    from django_jobs.engine.control.tenants import organization_pks
    from django_jobs.engine.control.tenants import OrphanWatch
    from django_jobs.engine.control.switches import give_order
    from django_jobs.engine.control.switches import note_worker_left as note_order_left
    from django_jobs.engine.control.switches import note_order_obeyed
    from django_jobs.engine.control.switches import read_orders
    from django_jobs.engine.control.switches import Order

    # Schedules
    from django_jobs.engine.schedules.firing import Clockwork
    from django_jobs.engine.schedules.declared_schedules import schedules_of
    from django_jobs.engine.schedules.declared_schedules import sync_declared_schedules
    from django_jobs.engine.schedules.definitions import check_definition
    from django_jobs.engine.schedules.definitions import values_of as definition_values
    from django_jobs.engine.schedules.definitions import change_schedule
    from django_jobs.engine.schedules.definitions import create_schedule
    from django_jobs.engine.schedules.definitions import erase_schedules
    from django_jobs.engine.schedules.definitions import pause_schedule
    from django_jobs.engine.schedules.definitions import resume_schedule
    from django_jobs.engine.schedules.definitions import take_over as take_over_schedule
    from django_jobs.engine.schedules.firing import fire_now
    from django_jobs.engine.schedules.firing import fire_one
    from django_jobs.engine.schedules.firing import fire_round
    from django_jobs.engine.schedules.definitions import preview as preview_schedule
    from django_jobs.engine.schedules.definitions import may_manage as may_manage_schedule
    from django_jobs.engine.schedules.firing import submit_for as submit_for_schedule

    # Insight
    from django_jobs.engine.insight.rollups import add_activity
    from django_jobs.engine.insight.problems import examine_batches
    from django_jobs.engine.insight.problems import troubled_batches
    from django_jobs.engine.insight.problems import examine_breakers
    from django_jobs.engine.insight.inspection import held_types
    from django_jobs.engine.insight.inspection import open_breakers
    from django_jobs.engine.insight.search import count_in_time
    from django_jobs.engine.insight.problems import examine
    from django_jobs.engine.insight.events import submitted as announce_submitted
    from django_jobs.engine.insight.events import changed
    from django_jobs.engine.insight.failures import newest_jobs as newest_failed_jobs
    from django_jobs.engine.insight.failures import read_failures
    from django_jobs.engine.insight.failures import Group as FailureGroup
    from django_jobs.engine.insight.problems import Finding
    from django_jobs.engine.insight.metrics import read_gauges
    from django_jobs.engine.insight.inspection import has_jobs
    from django_jobs.engine.insight.inspection import snapshot
    from django_jobs.engine.insight.filter import JobFilter
    from django_jobs.engine.insight.inspection import read_in_use as read_limits_in_use
    from django_jobs.engine.insight.inspection import Reached as ReachedLimit
    from django_jobs.engine.insight.problems import count_waiting_freely as count_neglected
    from django_jobs.engine.insight.search import among_newest
    from django_jobs.engine.memory import forget_all as forget_newest_jobs
    from django_jobs.engine.control.operations import read_speeds as read_operation_speeds
    from django_jobs.engine.control.operations import seconds_for as operation_seconds
    from django_jobs.engine.insight.failures import last_traceback
    from django_jobs.engine.insight.problems import unknown_permissions
    from django_jobs.engine.insight.rollups import catch_up as catch_up_rollups
    from django_jobs.engine.insight.rollups import forget_old as forget_old_rollups
    from django_jobs.engine.insight.rollups import roll_up
    from django_jobs.engine.insight.rollups import rollups_behind
    from django_jobs.engine.insight.problems import examine_schedules
    from django_jobs.engine.insight.problems import examine_shares
    from django_jobs.engine.insight.events import work_in_background as deliver_signals_in_background
    from django_jobs.engine.insight.events import stop as stop_signal_delivery
    from django_jobs.engine.insight.events import tell_process_started
    from django_jobs.engine.insight.search import similar_job_types
    from django_jobs.engine.insight.search import similar as similar_names
    from django_jobs.engine.insight.status import describe as describe_job
    from django_jobs.engine.insight.status import describe_all as describe_jobs
    from django_jobs.engine.organizations import swapped_from
    from django_jobs.engine.insight.problems import examine_types
    from django_jobs.engine.insight.status import Wait as JobWait

    # Alerts
    from django_jobs.engine.alerts.telling import send_to_admins
    from django_jobs.engine.alerts.telling import announce as announce_alert
    from django_jobs.engine.alerts.records import Evaluator as AlertEvaluator
    from django_jobs.engine.alerts.telling import mail_about
    from django_jobs.engine.alerts.telling import UntoldAlerts as Entry
    from django_jobs.engine.alerts.telling import Mailer as AlertMailer
    from django_jobs.engine.alerts.reading import forget as forget_alerts
    from django_jobs.engine.alerts.reading import read_all_alerts
    from django_jobs.engine.alerts.records import key_of as alert_key
    from django_jobs.engine.alerts.records import clear as clear_alert
    from django_jobs.engine.alerts.records import raise_alert

    # Duties
    from django_jobs.engine.scheduler import Scheduler
    from django_jobs.engine.insight.inspection import stalled_duties
    from django_jobs.engine.scheduler import DutyWatch

    # What all share
    from django_jobs.engine.access import get_policy
    from django_jobs.engine.access import may_start
    from django_jobs.engine.actors import user_named
    from django_jobs.engine.ports import drain_broadcasts
    from django_jobs.engine.ports import get_broadcaster
    from django_jobs.engine.ports import use_broadcaster
    from django_jobs.engine.ports import ForeignEntry
    from django_jobs.engine.ports import SetAside
    from django_jobs.engine.execution.handler_logs import LineBuffer
    from django_jobs.engine.claimed_job import install as install_job_fields
    from django_jobs.engine.scope import Scope
    from django_jobs.engine.transitions import hooks as move_hooks
    from django_jobs.engine.observers import add as add_observer
    from django_jobs.engine.observers import all_of_them as all_observers
    from django_jobs.engine.observers import drain as drain_observers
    from django_jobs.engine.observers import remove as remove_observer
    from django_jobs.engine.ports import broker_in_place
    from django_jobs.engine.ports import get_broker
    from django_jobs.engine.ports import use_broker
    from django_jobs.engine.ports import Broker
    from django_jobs.engine.ports import Consumer
    from django_jobs.engine.ports import BrokerState as QueueLook
    from django_jobs.engine.ports import RunningTicket
    from django_jobs.engine.ports import Taken as TakenTicket
    from django_jobs.engine.ports import Ticket
    from django_jobs.engine.insight.rollups import count_exit
    from django_jobs.engine.insight.rollups import count_history
    from django_jobs.engine.insight.rollups import start_counting
    from django_jobs.engine.insight.rollups import stop_counting
    from django_jobs.engine.insight.rollups import ProcessCounts
    from django_jobs.engine.dispatch.window import describe_processes as describe_process
    from django_jobs.engine.dispatch.window import machine_of_processes as place_of_process
    from django_jobs.engine.sockets import forget_expired_tickets as forget_expired_socket_tickets
    from django_jobs.engine.sockets import make_ticket as make_socket_ticket
    from django_jobs.engine.sockets import use_ticket as use_socket_ticket
    from django_jobs.engine.claimed_job import uptime_seconds as uptime
    from django_jobs.engine.execution.leases import end_vanished as end
