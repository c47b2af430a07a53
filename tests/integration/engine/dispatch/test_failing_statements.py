"""Weights and limits for which the policy asks the database, and what becomes of an error of that."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import OperationalError, connection

from django_jobs import AccessPolicy
from django_jobs.models import Organization
from tests.support import verbs
from tests.support.brokers import MemoryBroker, pending_job
from tests.support.factories import make_organization
from tests.support.verbs import Share


class Broken(AccessPolicy):
    """Asks for what the database does not have."""

    def weight(self, organization: Any) -> float:
        return float(ask("SELECT weight FROM no_such_table"))

    def in_flight_limit(self, organization: Any) -> int:
        return int(ask("SELECT a_limit FROM no_such_table"))


class Raising(AccessPolicy):
    """Raises what the test says."""

    error: Exception = OperationalError()

    def weight(self, organization: Any) -> float:
        raise self.error


def ask(sql: str) -> Any:
    with connection.cursor() as cursor:
        cursor.execute(sql)
        return cursor.fetchone()[0]


def follow(settings: Any, policy: type) -> None:
    settings.DJANGO_JOBS = {**settings.DJANGO_JOBS, "ACCESS_POLICY": f"{__name__}.{policy.__name__}"}


def told(caplog: pytest.LogCaptureFixture) -> list[Any]:
    return [item for item in caplog.records if "event=access_policy_failed" in item.getMessage()]


def test_a_statement_of_the_policys_that_fails_counts_as_no_answer_and_the_transaction_goes_on(
    organization: Organization, settings: Any, caplog: pytest.LogCaptureFixture
) -> None:
    follow(settings, Broken)
    assert verbs.share_of(organization) == Share(1.0, 100)
    assert organization in Organization.objects.all()
    weight, limit = told(caplog)
    for record, taken in ((weight, "question=weight {} taken=1:"), (limit, "question=in_flight_limit {} taken=100:")):
        assert taken.format(f"organization={organization.name}") in record.getMessage()
        assert (record.code, "no_such_table" in record.getMessage()) == ("raised", True)


def test_jobs_are_dispatched_though_statements_of_the_policys_fail(
    broker: MemoryBroker, organization: Organization, settings: Any
) -> None:
    jobs = [pending_job(organization=of) for of in (organization, make_organization())]
    follow(settings, Broken)
    assert verbs.wake() == 2
    assert set(broker.pks()) == {job.pk for job in jobs}


def test_a_database_that_is_away_is_no_fault_of_the_policys(
    organization: Organization, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Raising, "error", OperationalError("away"))
    monkeypatch.setattr(verbs.database_connection(), "is_usable", lambda: False)
    follow(settings, Raising)
    with pytest.raises(OperationalError):
        verbs.share_of(organization)


def test_a_race_that_the_policy_lost_is_left_to_who_tries_the_transaction_again(
    organization: Organization, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Raising, "error", OperationalError("database is locked"))
    follow(settings, Raising)
    with pytest.raises(OperationalError):
        verbs.share_of(organization)
