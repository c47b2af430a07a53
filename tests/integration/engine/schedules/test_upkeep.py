"""The history of firings stays short."""

from __future__ import annotations

import datetime as dt

import pytest

from django_jobs.models import Organization, ScheduleFiring
from tests.support import verbs
from tests.support.schedules import NOON, make_schedule
from tests.support.verbs import Clockwork

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("broker")]


def make_firings(schedule_pk: int, count: int, fired_at: dt.datetime) -> None:
    ScheduleFiring.objects.bulk_create(
        ScheduleFiring(schedule_id=schedule_pk, due_at=NOON, fired_at=fired_at, outcome="skipped") for _ in range(count)
    )


def test_firings_older_than_the_retention_are_deleted(organization: Organization) -> None:
    schedule = make_schedule(None, organization)
    now = dt.datetime.now(dt.UTC)
    make_firings(schedule.pk, 3, now - dt.timedelta(days=31))
    make_firings(schedule.pk, 2, now)
    assert Clockwork().prune() == 3
    assert ScheduleFiring.objects.count() == 2


def test_of_a_schedule_that_fires_often_the_newest_thousand_stay(organization: Organization) -> None:
    busy, other = (make_schedule(None, organization, name=name) for name in ("busy", "other"))
    make_firings(busy.pk, verbs.FIRINGS_KEPT + 5, dt.datetime.now(dt.UTC))
    make_firings(other.pk, 5, dt.datetime.now(dt.UTC))
    history = Clockwork()
    for _ in range(verbs.FIRINGS_LOOKED_AT - 1):
        history.fired[busy.pk] += 1
    assert history.prune() == 0
    history.fired[busy.pk] += 1
    history.fired[other.pk] += 1
    assert history.prune() == 5
    assert history.prune() == 0
    assert ScheduleFiring.objects.filter(schedule=busy).count() == verbs.FIRINGS_KEPT
    make_firings(other.pk, verbs.FIRINGS_KEPT, dt.datetime.now(dt.UTC))
    for _ in range(verbs.FIRINGS_LOOKED_AT - 1):
        history.fired[other.pk] += 1
    assert history.prune() == 5
