"""``path("api/", include("django_jobs.api.urls"))``."""

from __future__ import annotations

import contextlib
from importlib import import_module

from rest_framework.routers import SimpleRouter

from django_jobs.api.batches.viewset import BatchViewSet
from django_jobs.api.job_types import JobTypeViewSet
from django_jobs.api.jobs.viewset import JobViewSet

# This describes the views to drf-spectacular, where that is installed.
with contextlib.suppress(ModuleNotFoundError):
    import_module("django_jobs.api.schema")

app_name = "django_jobs"

router = SimpleRouter()
router.register("jobs", JobViewSet, basename="job")
router.register("batches", BatchViewSet, basename="batch")
router.register("job-types", JobTypeViewSet, basename="jobtype")

urlpatterns = router.urls
