"""The console: Django's admin of the models, one module a page or a thing that pages share.

``jobs`` declares the columns of the jobs list, live cells and CSV export included. ``job`` has the facts on a job's
page, ``job_types`` the form of a job type. No form decides what happens to a job.
"""

from __future__ import annotations

from django.contrib import admin

from django_jobs.admin.alarms import AlertAdmin
from django_jobs.admin.batches import BatchAdmin
from django_jobs.admin.failures import FailureAdmin
from django_jobs.admin.job import JobAdmin
from django_jobs.admin.job_types import JobTypeAdmin
from django_jobs.admin.log import ExecutionLogAdmin
from django_jobs.admin.monitor import MonitorAdmin
from django_jobs.admin.operations import OperationAdmin
from django_jobs.admin.organizations import MembershipAdmin, OrganizationAdmin
from django_jobs.admin.schedules import ScheduleAdmin
from django_jobs.admin.workers import WorkerAdmin

__all__ = [
    "AlertAdmin",
    "BatchAdmin",
    "ExecutionLogAdmin",
    "FailureAdmin",
    "JobAdmin",
    "JobTypeAdmin",
    "MembershipAdmin",
    "MonitorAdmin",
    "OperationAdmin",
    "OrganizationAdmin",
    "ScheduleAdmin",
    "WorkerAdmin",
]

if admin.site.index_template is None:  # else the host has one, which may use the tag ``alarm_panel``
    admin.site.index_template = "admin/django_jobs/index.html"
