"""For a host's tests: run jobs and operations here, move schedules through time, catch submissions, call a handler."""

from __future__ import annotations

from django_jobs.testing.capturing import captured_jobs
from django_jobs.testing.contexts import RecordingContext, make_context
from django_jobs.testing.operations import run_operations
from django_jobs.testing.running import run_jobs
from django_jobs.testing.schedules import fire_schedules

__all__ = ["RecordingContext", "captured_jobs", "fire_schedules", "make_context", "run_jobs", "run_operations"]
