"""Show the models in Django's admin: a file for each model, and one for each part of a large page.

``job_columns`` declares the columns of the jobs list, live cells and CSV export included; ``job_facts`` the facts on
a job's page; ``job_type_form`` the form of a job type. No form decides what happens to a job.
"""

from __future__ import annotations

from django_jobs.admin.batch import BatchAdmin
from django_jobs.admin.dead_letters import DeadLetterAdmin
from django_jobs.admin.execution_log import ExecutionLogAdmin
from django_jobs.admin.job import JobAdmin
from django_jobs.admin.job_type import JobTypeAdmin
from django_jobs.admin.monitor import MonitorAdmin
from django_jobs.admin.organization import MembershipAdmin, OrganizationAdmin
from django_jobs.admin.replay import ReplayAdmin
from django_jobs.admin.schedule import ScheduleAdmin

__all__ = [
    "BatchAdmin",
    "DeadLetterAdmin",
    "ExecutionLogAdmin",
    "JobAdmin",
    "JobTypeAdmin",
    "MembershipAdmin",
    "MonitorAdmin",
    "OrganizationAdmin",
    "ReplayAdmin",
    "ScheduleAdmin",
]
