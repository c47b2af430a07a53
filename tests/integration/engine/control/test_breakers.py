"""Closing a breaker by hand."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry

from django_jobs.exceptions import JobTypeNotFound, PermissionDenied
from django_jobs.models import Job
from django_jobs.statuses import BreakerState
from tests.support import verbs
from tests.support.breakers import breaker_of, make_fragile_type, open_by_failures
from tests.support.brokers import pending_job
from tests.support.factories import make_job_type, make_system_admin, make_user
from tests.support.refusals import refused

pytestmark = pytest.mark.usefixtures("broker")


def test_it_closes_and_counts_anew_and_what_waits_is_dispatched(
    django_capture_on_commit_callbacks: Callable[..., Any],
) -> None:
    kind = make_fragile_type()
    open_by_failures(kind)
    pending_job(kind)
    with django_capture_on_commit_callbacks(execute=True):
        assert verbs.close_breaker(kind.pk)
    row = breaker_of(kind)
    assert (row.state, row.failures, row.fingerprint, row.error_message) == (BreakerState.CLOSED, 0, "", "")
    assert (row.opened_at, row.next_try_at) == (None, None)
    assert Job.objects.filter(status="Queued").exists()


def test_who_closed_it_is_noted(
    caplog: pytest.LogCaptureFixture, django_capture_on_commit_callbacks: Callable[..., Any]
) -> None:
    kind, user = make_fragile_type(), make_system_admin()
    open_by_failures(kind)
    with caplog.at_level(logging.INFO), django_capture_on_commit_callbacks(execute=True):
        verbs.close_breaker(kind.pk, user=user)
    entry = LogEntry.objects.get()
    assert (entry.user_id, entry.object_id, entry.action_flag) == (user.pk, kind.pk, 2)
    (line,) = [record for record in caplog.records if "event=job_type_changed" in record.getMessage()]
    assert (f"count=1 job_type={kind.pk} " in line.getMessage(), line.code) == (True, "breaker_closed")  # type: ignore[attr-defined]


@pytest.mark.parametrize("failures", [0, 3])
def test_one_that_is_closed_has_nothing_to_note(failures: int) -> None:
    kind = make_job_type(breaker_failures=failures)
    assert not verbs.close_breaker(kind.pk, user=make_system_admin())
    assert not LogEntry.objects.exists()


def test_others_than_system_admins_may_not() -> None:
    kind = make_fragile_type()
    open_by_failures(kind)
    with pytest.raises(PermissionDenied):
        verbs.close_breaker(kind.pk, user=make_user())
    assert breaker_of(kind).state == BreakerState.OPEN


def test_a_type_that_is_unknown_is_an_error() -> None:
    with refused(JobTypeNotFound, {"job_type": ["unknown_job_type"]}):
        verbs.close_breaker("gone")
