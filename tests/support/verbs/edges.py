"""The edges: what runs jobs, and what people and programs look through."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    # Worker
    from django_jobs.worker.child import Child
    from django_jobs.worker.shared import LoopStep
    from django_jobs.worker.child_state import ChildState
    from django_jobs.worker.children import ChildWatch
    from django_jobs.worker.children import ChildProcess
    from django_jobs.worker.claims import Claims
    from django_jobs.worker.supervisor import stop_what_must
    from django_jobs.worker.supervisor import watch_board
    from django_jobs.worker.child import FailureTracker
    from django_jobs.worker.processes import WorkerFailed
    from django_jobs.worker.processes import ForkServer
    from django_jobs.worker.child import prepare_fork_server
    from django_jobs.worker.housekeeper import Housekeeper
    from django_jobs.worker.interruption import Interrupter
    from django_jobs.worker.interruption import MainThreadSignals
    from django_jobs.worker.supervisor import LeaseRenewer
    from django_jobs.worker.supervisor import Renewal
    from django_jobs.worker.child_state import LoopWatch
    from django_jobs.worker.processes import WorkerOptions
    from django_jobs.worker.supervisor import OrderReader
    from django_jobs.worker.child_state import PrefetchEstimator
    from django_jobs.worker.processes import may_fork
    from django_jobs.worker.processes import start_fresh
    from django_jobs.worker.processes import AdoptedProcess
    from django_jobs.worker.claims import Refiller
    from django_jobs.worker.interruption import RunningJobs
    from django_jobs.worker.child_state import Settler
    from django_jobs.worker.shared import OccupiedSlot
    from django_jobs.worker.shared import SharedSlots
    from django_jobs.worker.shared import StopRequest
    from django_jobs.worker.slots import make_slots
    from django_jobs.worker.child import StopRelay
    from django_jobs.worker.supervisor import Supervisor
    from django_jobs.worker.event_loop import SyncThread
    from django_jobs.worker.event_loop import OtherThreads
    from django_jobs.worker.slots import ThreadSlots

    # Broker
    from django_jobs.broker.rq_guard import check_django_rq_pages
    from django_jobs.broker.rq_guard import check_one_redis
    from django_jobs.pools import queue_names as broker_queue_names
    from django_jobs.broker.queues import close_shared as close_shared_redis
    from django_jobs.broker.queues import connect as connect_redis
    from django_jobs.broker.queues import errors_translated as redis_errors_translated
    from django_jobs.broker.queues import shared as shared_redis
    from django_jobs.broker.rq_worker import CheckpointRunner
    from django_jobs.broker.consumer import RQBroker
    from django_jobs.broker.rq_guard import install_pages as install_rq_pages
    from django_jobs.broker.rq_worker import TicketWorker
    from django_jobs.testing.contexts import RecordingRunner
    from django_jobs.testing.memory_broker import MemoryBroker as HostBroker

    # Realtime
    from django_jobs.realtime.auth import JobsAuthMiddlewareStack
    from django_jobs.realtime.rooms import authorize as authorize_join
    from django_jobs.realtime.rooms import authorize_all as authorize_joins
    from django_jobs.realtime.rooms import hidden_jobs
    from django_jobs.realtime.rooms import FrameRefused as JoinRefused
    from django_jobs.realtime.rooms import Target as RoomTarget
    from django_jobs.realtime.broadcast import LayerBroadcaster
    from django_jobs.realtime.connections import Connection as SocketConnection
    from django_jobs.realtime.events import catch_up
    from django_jobs.realtime.events import first_watermarks
    from django_jobs.realtime.events import poll as poll_events
    from django_jobs.realtime.events import Watermark as EventWatermark
    from django_jobs.realtime.events import progress_events
    from django_jobs.realtime.events import running_progress
    from django_jobs.realtime.events import status_events
    from django_jobs.realtime.events import Event as RealtimeEvent
    from django_jobs.realtime.protocol import moment as frame_moment
    from django_jobs.realtime.hub import complete as complete_handshake
    from django_jobs.realtime.hub import Handshake
    from django_jobs.realtime.hub import Hub
    from django_jobs.realtime.identity import active_user
    from django_jobs.realtime.identity import Identity
    from django_jobs.realtime.rooms import read_join
    from django_jobs.realtime.rooms import read_joins
    from django_jobs.realtime.hub import FailureLog
    from django_jobs.realtime.hub import LayerSubscription
    from django_jobs.realtime.hub import PendingEvents
    from django_jobs.realtime.protocol import group_of
    from django_jobs.realtime.protocol import Room
    from django_jobs.realtime.routing import websocket_urlpatterns
    from django_jobs.realtime.topics import Socket
    from django_jobs.realtime.topics import Subscription
    from django_jobs.realtime.topics import Topic

    # REST API
    from django_jobs.api.jobs import JobListFilter
    from django_jobs.api.jobs import read_output
    from django_jobs.api.method_urls import urlpatterns as method_urlpatterns
    from django_jobs.api.pagination import JobListPagination
    from django_jobs.api.job_types import JobTypeSerializer
    from django_jobs.api.base import ItemsThrottle
    from django_jobs.api.base import JobsThrottle
    from django_jobs.api.urls import urlpatterns as api_urlpatterns

    # Admin
    from django_jobs.admin.pages import BaseAdmin
    from django_jobs.admin.graph import make_graph as make_batch_graph
    from django_jobs.admin.graph import Graph as BatchGraph
    from django_jobs.admin.graph import Node as GraphNode
    from django_jobs.admin.writing import CappedCount
    from django_jobs.admin.charts import as_table as chart_as_table
    from django_jobs.admin.charts import Chart
    from django_jobs.admin.charts import Series as ChartSeries
    from django_jobs.admin.charts import draw_bars
    from django_jobs.admin.charts import draw_spark
    from django_jobs.admin.writing import brief_duration
    from django_jobs.admin.writing import type_title as job_type_title
    from django_jobs.admin.graph import draw_graph as draw_batch_graph
    from django_jobs.admin.job import JobAdmin
    from django_jobs.admin.job import next_of
    from django_jobs.admin.search import understand as understand_search
    from django_jobs.admin.filters import AddressFilter
    from django_jobs.admin.monitor import read_now as read_monitor_now
    from django_jobs.admin.bar import read_counts
    from django_jobs.admin.operations import title_of as operation_title
    from django_jobs.admin.organizations import MembershipAdmin
    from django_jobs.templatetags.django_jobs import counts_in_words
    from django_jobs.templatetags.django_jobs import spoken
    from django_jobs.templatetags.django_jobs import moment_in_words
    from django_jobs.templatetags.django_jobs import percent_in_words
    from django_jobs.templatetags.django_jobs import status_in_words
    from django_jobs.templatetags.django_jobs import words_for_script

    # Commands
    from django_jobs.management.commands.jobs_replay import Command as JobsReplay
    from django_jobs.management.commands.jobs_status import look as look_at_status
    from django_jobs.management.commands.jobs_status import Command as JobsStatus
    from django_jobs.management.commands.jobs_worker import queues as queues_of_options
    from django_jobs.management.shell import ExitCode
    from django_jobs.management.health_port import HealthPort
    from django_jobs.management.shell import Refused
    from django_jobs.management.switches import SwitchCommand
    from django_jobs.health.notes import HealthNotes

    # Checks
    from django_jobs.checks import ROWS as CHECKS

    # Django's tasks
    from django_jobs.engine.memory import forget_all as forget_seen_tasks
    from django_jobs.tasks.results import tell as tell_task_signals
    from django_jobs.tasks import JobsBackend
    from django_jobs.tasks.declaring import JobTask
    from django_jobs.tasks.job_types import declarations_of_tasks
    from django_jobs.tasks.job_types import tasks_in
    from django_jobs.tasks.framework import task_backends
    from django_jobs.tasks.framework import task_enqueued
    from django_jobs.tasks.framework import task_finished
    from django_jobs.tasks.framework import task_started
    from django_jobs.tasks.framework import Task as DjangoTask
    from django_jobs.tasks.framework import InvalidTask
    from django_jobs.tasks.framework import InvalidTaskBackend
    from django_jobs.tasks.framework import TaskResultDoesNotExist
    from django_jobs.tasks.framework import TaskResultStatus
    from django_jobs.tasks.declaring import task_options
    from django_jobs.tasks.enqueuing import function_at as organization_function_at

    # Contrib
    from django_jobs.contrib.opentelemetry.tracing import Tracing
    from django_jobs.contrib.prometheus import scrape as scrape_metrics
    from django_jobs.contrib.sentry.events import install as install_sentry
    from django_jobs.contrib.socketio import with_socketio

    # Models and settings
    from django_jobs.models.job import AttemptLog
    from django_jobs.models.job import parse_job_id
    from django_jobs.conf import organization_model_name
    from django_jobs.pools import Queue
    from django_jobs.downloads import Download
    from django_jobs.texts import code_of
    from django_jobs.texts import say
    from django_jobs.texts import Text
