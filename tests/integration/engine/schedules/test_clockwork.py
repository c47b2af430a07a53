"""The thread that fires: exact to the moment, and silent where another scheduler leads."""

from __future__ import annotations

import datetime as dt
import threading
from collections.abc import Callable

import pytest

from django_jobs.models import Organization, Schedule, ScheduleFiring
from tests.support.schedules import HOUR, make_schedule
from tests.support.tuning import Tuning
from tests.support.verbs import Clockwork, DutyThread
from tests.support.waiting import wait_until

pytestmark = pytest.mark.usefixtures("broker")


def due_in(schedule: Schedule, delay: dt.timedelta) -> dt.datetime:
    """The moment so much later, at which the schedule is due from now on."""
    moment = dt.datetime.now(dt.UTC) + delay
    Schedule.objects.filter(pk=schedule.pk).update(next_run_at=moment)
    return moment


def do(name: str, duty: Callable[[], int]) -> int:
    return duty()


@pytest.mark.django_db
def test_it_waits_exactly_until_what_is_due_before_the_next_look(organization: Organization, tuning: Tuning) -> None:
    tuning.set(schedule_look_seconds=100.0)
    clockwork = Clockwork()
    assert clockwork.seconds_until_due() == 100.0
    schedule = make_schedule(None, organization)
    due_in(schedule, dt.timedelta(seconds=80))
    assert 0 < clockwork.seconds_until_due() <= 80.01  # SQLite's clock counts milliseconds
    due_in(schedule, HOUR)
    assert clockwork.seconds_until_due() == 100.0
    due_in(schedule, -HOUR)
    assert clockwork.seconds_until_due() < 0


@pytest.mark.django_db
def test_while_one_that_broke_rests_it_waits_exactly_for_the_others(organization: Organization, tuning: Tuning) -> None:
    tuning.set(schedule_look_seconds=100.0)
    broken, other = make_schedule(None, organization, name="a"), make_schedule(None, organization, name="b")
    Schedule.objects.filter(pk=broken.pk).update(timezone="Mars/Phobos")
    due_in(broken, -HOUR)
    due_in(other, dt.timedelta(seconds=80))
    clockwork = Clockwork()
    assert clockwork.step() == (0, 100.0)
    count, rest = clockwork.step()
    assert count == 0
    assert 0 < rest <= 80.01
    clockwork._rests_until[broken.pk] = 0.0
    assert clockwork.seconds_until_due() < 0


@pytest.mark.django_db(transaction=True)
def test_the_thread_fires_while_it_leads_and_not_before(organization: Organization) -> None:
    schedule = make_schedule(None, organization)
    due_in(schedule, -dt.timedelta(seconds=1))
    leads = threading.Event()
    asked = threading.Semaphore(0)

    def is_leading() -> bool:
        asked.release()
        return leads.is_set()

    thread = DutyThread("fire", Clockwork().step, is_leading, do)
    thread.start()
    try:
        assert asked.acquire(timeout=30)
        assert asked.acquire(timeout=30)  # it looks again, so the first look is over
        assert not ScheduleFiring.objects.exists()
        leads.set()
        wait_until(ScheduleFiring.objects.exists, 30.0, "a firing")
    finally:
        thread.stop()
        thread.join(30.0)
