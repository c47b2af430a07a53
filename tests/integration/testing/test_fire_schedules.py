"""fire_schedules moves through time: no worker, no scheduler, no waiting."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
from django.test import TestCase

from django_jobs import schedule_job
from django_jobs.models import Job, Organization, Schedule
from django_jobs.statuses import Status
from django_jobs.testing import captured_jobs, fire_schedules, run_jobs
from tests.support import verbs
from tests.support.factories import make_job_type, make_organization
from tests.support.refusals import refused
from tests.support.schedules import HOUR, MINUTE, NOON, make_schedule
from tests.support.tuning import Tuning


class InATestCase(TestCase):
    def test_all_firings_come_in_the_order_of_their_moments(self) -> None:
        organization = make_organization()
        make_schedule(None, organization, name="hourly", cron="0 * * * *", overlap="allow")
        make_schedule(None, organization, name="half", cron="30 * * * *", due=NOON + 30 * MINUTE, overlap="allow")
        fired = fire_schedules(until=NOON + 2 * HOUR)
        assert [(item.schedule.name, item.due_at - NOON) for item in fired] == [
            ("hourly", 0 * HOUR),
            ("half", 30 * MINUTE),
            ("hourly", HOUR),
            ("half", HOUR + 30 * MINUTE),
            ("hourly", 2 * HOUR),
        ]
        assert {item.outcome for item in fired} == {"submitted"}
        assert [job.status for job in run_jobs()] == [Status.COMPLETED] * 5

    def test_what_it_would_submit_can_be_looked_at(self) -> None:
        make_schedule(None, make_organization(), parameters={"n": 1})
        with captured_jobs() as jobs:
            fire_schedules(until=NOON)
        assert [(job.input_parameters, job.metadata["schedule"]) for job in jobs] == [({"n": 1}, "nightly")]

    def test_a_schedule_that_skips_overlaps_goes_on_once_its_job_has_run(self) -> None:
        make_schedule(None, make_organization())
        assert [item.outcome for item in fire_schedules(until=NOON + MINUTE)] == ["submitted", "skipped"]
        run_jobs()
        assert [item.outcome for item in fire_schedules(until=NOON + 2 * MINUTE)] == ["submitted"]


@pytest.mark.django_db
def test_from_now_on_to_a_moment_of_next_year(organization: Organization) -> None:
    began = dt.datetime.now(dt.UTC)
    schedule_job("yearly", make_job_type(), organization, cron="0 0 1 1 *", timezone="UTC")
    verbs.pause_schedule(schedule_job("off", make_job_type(), organization, cron="0 0 1 1 *"))
    new_year = Schedule.objects.get(name="yearly").next_run_at
    assert new_year is not None
    assert (new_year > began, new_year.month, new_year.day, new_year.hour) == (True, 1, 1, 0)
    [fired] = fire_schedules(until=new_year + dt.timedelta(days=1))
    assert fired.due_at == fired.fired_at == new_year
    assert Job.objects.count() == 1


@pytest.mark.django_db
def test_too_many_firings_are_an_error(organization: Organization, tuning: Tuning) -> None:
    tuning.set(test_firings=5)
    make_schedule(None, organization)
    with pytest.raises(RuntimeError, match="After 5 firings"):
        fire_schedules(until=NOON + HOUR)


def test_a_moment_needs_a_time_zone(settings: Any) -> None:
    with refused(ValueError, "not_aware"):
        fire_schedules(until=dt.datetime(2026, 1, 1))  # noqa: DTZ001
