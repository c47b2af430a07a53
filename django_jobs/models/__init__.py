"""What is stored. No rules: those are in ``engine``."""

from __future__ import annotations

from django_jobs.models.batch import Batch as Batch, BatchChange as BatchChange
from django_jobs.models.coordination import (
    Alert as Alert,
    EngineLease as EngineLease,
    Installation as Installation,
    OrganizationActivity as OrganizationActivity,
    SocketTicket as SocketTicket,
    Span as Span,
    TypeActivity as TypeActivity,
    Worker as Worker,
    WorkerOrder as WorkerOrder,
)
from django_jobs.models.job import (
    AttemptLog as AttemptLog,
    DependencyTask as DependencyTask,
    DuplicateGate as DuplicateGate,
    DuplicateKey as DuplicateKey,
    ExecutionLog as ExecutionLog,
    Failure as Failure,
    FileDeletion as FileDeletion,
    Job as Job,
    JobCheckpoint as JobCheckpoint,
    JobDependency as JobDependency,
    JobStep as JobStep,
    Monitor as Monitor,
)
from django_jobs.models.job_type import Breaker as Breaker, JobType as JobType
from django_jobs.models.operation import Operation as Operation
from django_jobs.models.organization import (
    AbstractOrganization as AbstractOrganization,
    Membership as Membership,
    Organization as Organization,
    SavedFilter as SavedFilter,
    get_organization_model as get_organization_model,
)
from django_jobs.models.schedule import (
    CatchUp as CatchUp,
    Overlap as Overlap,
    Schedule as Schedule,
    ScheduledJob as ScheduledJob,
    ScheduleFiring as ScheduleFiring,
)
