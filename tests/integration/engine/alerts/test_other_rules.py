"""The alarms of dead letters, schedules and breakers."""

from __future__ import annotations

from typing import Any

import pytest
from django.utils import timezone

from django_jobs.models import JobType, Organization, Schedule
from tests.support.alerts import evaluate, let_fail, make_alert, only, the_alarm
from tests.support.breakers import claim_try, make_fragile_type, open_by_failures
from tests.support.brokers import end, pending_job, raised, returned, running_job
from tests.support.factories import make_job_type, make_organization
from tests.support.monitor import count
from tests.support.schedules import make_schedule
from tests.support.verbs import AlertEvaluator

pytestmark = pytest.mark.usefixtures("broker")


def choose(settings: Any, rule: str, **thresholds: Any) -> None:
    settings.DJANGO_JOBS = {**settings.DJANGO_JOBS, **only(rule, **thresholds)}


def test_many_dead_letters_are_told_with_their_types(settings: Any, organization: Organization) -> None:
    choose(settings, "dead_letters")
    first, second = make_job_type(), make_job_type()
    count(first, organization, ago=300, died=70)
    count(second, organization, ago=600, died=30)
    alert = the_alarm()
    assert (alert.subject, alert.facts["count"]) == ("", 100)
    assert alert.facts["types"] == {first.pk: 70, second.pk: 30}


@pytest.mark.parametrize(("ago", "died"), [(300, 99), (7_200, 500)])
def test_few_dead_letters_and_old_ones_are_not_told(
    settings: Any, kind: JobType, organization: Organization, ago: float, died: int
) -> None:
    choose(settings, "dead_letters")
    count(kind, organization, ago=ago, died=died)
    assert evaluate() == []


def test_dead_letters_of_a_type_that_was_told_as_failing_are_not_told_once_that_is_over(
    settings: Any, kind: JobType, organization: Organization
) -> None:
    choose(settings, "dead_letters")
    count(kind, organization, ago=1_300, died=500)
    make_alert("type_failing", kind.pk, ago=1_300, cleared_ago=1_200)
    assert evaluate() == []
    count(kind, organization, ago=60, died=100)
    assert the_alarm().facts["types"] == {kind.pk: 100}


def test_dead_letters_of_a_type_that_is_told_as_failing_are_not_told_again(
    settings: Any, kind: JobType, organization: Organization
) -> None:
    rules = {**only("dead_letters")["ALERTS"], "type_failing": {}}
    settings.DJANGO_JOBS = {**settings.DJANGO_JOBS, "ALERTS": rules}
    let_fail(kind, organization, 500)
    count(kind, organization, ago=60, died=500)
    assert the_alarm().rule == "type_failing"


def test_a_schedule_that_cannot_fire_is_told_with_the_reason(settings: Any, organization: Organization) -> None:
    choose(settings, "schedule_cannot_fire")
    schedule = make_schedule(organization=organization)
    Schedule.objects.update(fault="It is gone.", faulty_since=timezone.now())
    alert = the_alarm()
    assert (alert.subject, alert.facts["error"]) == (f"{schedule.name} #{schedule.pk}", "It is gone.")
    assert alert.facts["organizations"] == {str(organization.pk): 0}
    assert alert.facts["error_of"] == str(organization.pk)


def test_schedules_of_one_name_have_alarms_of_their_own(settings: Any, organization: Organization) -> None:
    choose(settings, "schedule_cannot_fire")
    kind = make_job_type()
    for owner in (organization, make_organization(), None):
        make_schedule(kind, owner)
    Schedule.objects.update(fault="It is gone.", faulty_since=timezone.now())
    assert len({alert.subject for alert in evaluate()}) == 3


def test_a_schedule_that_is_paused_need_not_fire(settings: Any) -> None:
    choose(settings, "schedule_cannot_fire")
    make_schedule()
    Schedule.objects.update(fault="It is gone.", is_enabled=False, next_run_at=None)
    assert evaluate() == []


def test_an_open_breaker_is_told_with_its_error_and_what_waits(settings: Any) -> None:
    choose(settings, "breaker_open")
    kind = make_fragile_type()
    open_by_failures(kind)
    alert = the_alarm()
    assert (alert.subject, alert.facts["exception"], alert.facts["failed"]) == (kind.pk, "it failed", 3)
    assert alert.facts["waiting"] == 3
    assert len(alert.facts["organizations"]) == 3


def test_a_breaker_that_holds_one_organization_concerns_that_one_alone(
    settings: Any, organization: Organization
) -> None:
    choose(settings, "breaker_open")
    kind = make_fragile_type()
    end(raised(running_job(job_type=kind)[1], text="something else"))
    open_by_failures(kind, organization)
    pending_job(kind)
    facts = the_alarm().facts
    assert (facts["organization"], facts["waiting"]) == (organization.name, 3)
    assert facts["organizations"] == {str(organization.pk): 3}


def test_a_breaker_concerns_those_whose_jobs_wait_for_it(settings: Any, organization: Organization) -> None:
    choose(settings, "breaker_open")
    kind = make_fragile_type()
    open_by_failures(kind)
    for _ in range(2):
        pending_job(kind, organization=organization)
    facts = the_alarm().facts
    assert facts["organizations"][str(organization.pk)] == 2
    assert (len(facts["organizations"]), facts["waiting"]) == (4, 5)


def test_a_breaker_that_recovers_keeps_its_alarm_and_raises_none(settings: Any) -> None:
    choose(settings, "breaker_open")
    kind = make_fragile_type()
    open_by_failures(kind)
    evaluator = AlertEvaluator()
    (before,) = evaluate(evaluator)
    pending_job(kind)
    end(returned(claim_try(kind)))
    (alert,) = evaluate(evaluator)
    assert (alert.pk, alert.facts["state"]) == (before.pk, "Recovering")
    alert.delete()
    assert evaluate(evaluator) == []
