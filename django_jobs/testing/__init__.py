"""For a host's tests: run jobs and operations here, move schedules through time, catch submissions, call a handler."""

from __future__ import annotations

from django_jobs.testing.contexts import RecordingContext, captured_jobs, make_context
from django_jobs.testing.running import fire_schedules, run_jobs, run_operations

__all__ = ["RecordingContext", "captured_jobs", "fire_schedules", "make_context", "run_jobs", "run_operations"]
