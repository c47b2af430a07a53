"""What is stored. No rules: those are in ``engine``."""

from __future__ import annotations

from django_jobs.models.batch import Batch, BatchChange
from django_jobs.models.coordination import (
    Alert,
    EngineLease,
    Installation,
    OrganizationActivity,
    SocketTicket,
    Span,
    TypeActivity,
    Worker,
    WorkerOrder,
)
from django_jobs.models.job import (
    AttemptLog,
    DependencyTask,
    DuplicateGate,
    DuplicateKey,
    ExecutionLog,
    Failure,
    FileDeletion,
    Job,
    JobCheckpoint,
    JobDependency,
    JobStep,
    Monitor,
)
from django_jobs.models.job_type import Breaker, JobType
from django_jobs.models.operation import Operation
from django_jobs.models.organization import (
    AbstractOrganization,
    Membership,
    Organization,
    SavedFilter,
    get_organization_model,
)
from django_jobs.models.schedule import CatchUp, Overlap, Schedule, ScheduledJob, ScheduleFiring

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
