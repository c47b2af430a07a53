"""The REST API, at whatever prefix the host chooses: ``path("api/", include("django_jobs.api.urls"))``."""

from __future__ import annotations

import contextlib
from importlib import import_module

from rest_framework.routers import SimpleRouter

from django_jobs.api.alerts import AlertViewSet
from django_jobs.api.batches import BatchViewSet
from django_jobs.api.job_types import JobTypeViewSet
from django_jobs.api.jobs import JobViewSet
from django_jobs.api.operations import OperationViewSet
from django_jobs.api.schedules import ScheduleViewSet

# This describes the views to drf-spectacular, where that is installed.
with contextlib.suppress(ModuleNotFoundError):
    import_module("django_jobs.api.schema")

app_name = "django_jobs"

router = SimpleRouter()
# Before the jobs, or "operations" would be taken for the id of one.
router.register("jobs/operations", OperationViewSet, basename="operation")
router.register("jobs", JobViewSet, basename="job")
router.register("batches", BatchViewSet, basename="batch")
router.register("job-types", JobTypeViewSet, basename="jobtype")
router.register("alerts", AlertViewSet, basename="alert")
router.register("schedules", ScheduleViewSet, basename="schedule")

urlpatterns = router.urls
