"""What is stored. No rules: those are in ``engine``."""

from __future__ import annotations

from django_jobs.models.alert import Alert
from django_jobs.models.attempt_log import AttemptLog
from django_jobs.models.batch import Batch, BatchChange
from django_jobs.models.breaker import Breaker
from django_jobs.models.coordination import EngineLease, Installation, Worker, WorkerOrder
from django_jobs.models.dependency import DependencyTask, JobDependency
from django_jobs.models.duplicate import DuplicateGate, DuplicateKey
from django_jobs.models.execution_log import ExecutionLog
from django_jobs.models.file_deletion import FileDeletion
from django_jobs.models.job import Job
from django_jobs.models.job_type import JobType
from django_jobs.models.operation import Operation
from django_jobs.models.organization import (
    AbstractOrganization,
    Membership,
    Organization,
    get_organization_model,
)
from django_jobs.models.pages import Failure, Monitor
from django_jobs.models.rollup import OrganizationActivity, Span, TypeActivity
from django_jobs.models.saved_filter import SavedFilter
from django_jobs.models.schedule import CatchUp, Overlap, Schedule, ScheduledJob, ScheduleFiring
from django_jobs.models.socket import OpenSocket, SocketTicket
from django_jobs.models.step import JobCheckpoint, JobStep

__all__ = [
    "AbstractOrganization",
    "Alert",
    "AttemptLog",
    "Batch",
    "BatchChange",
    "Breaker",
    "CatchUp",
    "DependencyTask",
    "DuplicateGate",
    "DuplicateKey",
    "EngineLease",
    "ExecutionLog",
    "Failure",
    "FileDeletion",
    "Installation",
    "Job",
    "JobCheckpoint",
    "JobDependency",
    "JobStep",
    "JobType",
    "Membership",
    "Monitor",
    "OpenSocket",
    "Operation",
    "Organization",
    "OrganizationActivity",
    "Overlap",
    "SavedFilter",
    "Schedule",
    "ScheduleFiring",
    "ScheduledJob",
    "SocketTicket",
    "Span",
    "TypeActivity",
    "Worker",
    "WorkerOrder",
    "get_organization_model",
]
