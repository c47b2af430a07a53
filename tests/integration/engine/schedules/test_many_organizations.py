"""One firing for many organizations, some of which are slow or go."""

from __future__ import annotations

import datetime as dt
from functools import partial
from typing import Any

import pytest

from django_jobs import AccessPolicy
from django_jobs.models import Job, Organization, ScheduledJob
from tests.support import verbs
from tests.support.factories import make_organization
from tests.support.schedules import NOON, make_schedule
from tests.support.statements import statements_of
from tests.support.tuning import Tuning
from tests.support.verbs import Interpose

COUNT = 10_000


@pytest.mark.slow
@pytest.mark.django_db
@pytest.mark.usefixtures("nothing_is_dispatched")
def test_ten_thousand_organizations_get_their_jobs() -> None:
    Organization.objects.bulk_create(Organization(name=f"T-{number}") for number in range(COUNT))
    make_schedule(jitter=600)
    assert ([item.submitted for item in verbs.fire(NOON)], Job.objects.count()) == ([COUNT], COUNT)
    assert ScheduledJob.objects.count() == COUNT


@pytest.mark.django_db
@pytest.mark.usefixtures("nothing_is_dispatched")
def test_a_firing_for_ten_takes_as_few_statements_as_for_one(organization: Organization) -> None:
    took = []
    for count in (0, 9):
        for _ in range(count):
            make_organization()
        schedule = make_schedule(name=f"{count}")
        took.append(statements_of(partial(verbs.fire_one, schedule.pk, NOON, is_for_all=True)))
    assert Job.objects.count() == 1 + 10
    assert took[1] <= took[0] <= 16


@pytest.mark.django_db
@pytest.mark.usefixtures("broker", "organization")
def test_a_schedule_that_became_one_for_all_fires_in_the_next_round() -> None:
    schedule = make_schedule()
    assert verbs.fire_one(schedule.pk, NOON, is_for_all=False) is None
    assert [item.submitted for item in verbs.fire(NOON)] == [1]
    assert verbs.fire_now(make_schedule(name="by hand")).submitted == 1


@pytest.mark.django_db
@pytest.mark.usefixtures("broker")
def test_an_organization_that_is_deleted_meanwhile_stops_no_other(
    organization: Organization, interpose: Interpose
) -> None:
    gone, submit = make_organization(), verbs.submit_each

    def submit_late(*args: Any, **keywords: Any) -> Any:
        Organization.objects.filter(pk=gone.pk).delete()
        return submit(*args, **keywords)

    interpose("submit_each", submit_late)
    make_schedule()
    [fired] = verbs.fire(NOON)
    assert (fired.outcome, fired.submitted) == ("submitted", 1)


@pytest.mark.django_db
@pytest.mark.usefixtures("broker")
def test_a_slow_policy_does_not_make_the_server_hang_up(
    organization: Organization, monkeypatch: pytest.MonkeyPatch, interpose: Interpose, tuning: Tuning
) -> None:
    make_organization()
    make_schedule()
    asked: list[str] = []
    tell = verbs.now

    def answer(*args: object) -> bool:
        asked.append("policy")
        return True

    def now() -> dt.datetime:
        asked.append("server")
        return tell()

    tuning.set(host_transaction_seconds=0.0)  # each answer takes too long
    monkeypatch.setattr(AccessPolicy, "is_active", answer)
    interpose("now", now)
    verbs.fire(NOON)
    assert "policy server policy server" in " ".join(asked)
