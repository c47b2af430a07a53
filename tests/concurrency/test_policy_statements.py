"""What the policy asks the database after a pass of the dispatcher: slowly, or as the server goes away."""

from __future__ import annotations

import logging
import time
from typing import Any, ClassVar

import pytest
from django.db import connection

from django_jobs import AccessPolicy
from django_jobs.models import Job
from tests.concurrency.conftest import CrowdedBroker
from tests.concurrency.crowd import is_small, make_pending
from tests.support import verbs
from tests.support.factories import make_job_type, make_organization


class Slow(AccessPolicy):
    """Takes less time for an answer than the server waits for a word, and more for all of them."""

    def weight(self, organization: Any) -> float:
        time.sleep(1.5)
        return 2.0


class HangingUp(AccessPolicy):
    """Ends its own connection."""

    is_away: ClassVar[bool] = False
    sql: ClassVar[dict[str, str]] = {
        "postgresql": "SELECT pg_terminate_backend(pg_backend_pid())",
        "mysql": "KILL CONNECTION_ID()",
    }

    def weight(self, organization: Any) -> float:
        if self.is_away:
            with connection.cursor() as cursor:
                cursor.execute(self.sql[connection.vendor])
        return 2.0


@pytest.fixture
def waiting(full_broker: CrowdedBroker, settings: Any) -> list[Job]:
    """Jobs of three organizations."""
    if is_small():
        pytest.skip("SQLite is no server")
    kind = make_job_type()
    return [job for _ in range(3) for job in make_pending(kind, make_organization(), 1)]


def follow(settings: Any, policy: type, **others: Any) -> None:
    path = f"{__name__}.{policy.__name__}"
    settings.DJANGO_JOBS = {**settings.DJANGO_JOBS, "ACCESS_POLICY": path, **others}


def test_a_policy_that_weighs_slowly_does_not_make_the_server_hang_up(
    waiting: list[Job], full_broker: CrowdedBroker, settings: Any
) -> None:
    follow(settings, Slow, LEASE_SECONDS=8)
    full_broker.is_full = False
    assert verbs.dispatch() == len(waiting)


def test_a_server_that_goes_away_ends_the_pass_and_no_share_is_made_up(
    waiting: list[Job],
    full_broker: CrowdedBroker,
    settings: Any,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.WARNING, "django_jobs")
    follow(settings, HangingUp)
    monkeypatch.setattr(HangingUp, "is_away", True)
    full_broker.is_full = False
    assert verbs.wake() == 0
    assert "event=dispatch_failed" in caplog.text
    assert "event=access_policy_failed" not in caplog.text
    monkeypatch.setattr(HangingUp, "is_away", False)
    verbs.mend_connections()
    assert verbs.wake() == len(waiting)
