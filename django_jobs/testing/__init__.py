"""For a host's tests: run jobs in the test's own process, catch submissions, call a handler without a database."""

from __future__ import annotations

from django_jobs.testing.capturing import captured_jobs
from django_jobs.testing.contexts import RecordingContext, make_context
from django_jobs.testing.running import run_jobs

__all__ = ["RecordingContext", "captured_jobs", "make_context", "run_jobs"]
