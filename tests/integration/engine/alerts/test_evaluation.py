"""How alarms are raised, kept up to date, cleared and forgotten."""

from __future__ import annotations

import dataclasses
import datetime as dt
import logging
from typing import Any

import pytest
from django.utils import timezone

from django_jobs.models import Alert, EngineLease, JobType, Organization, Schedule
from tests.support import verbs
from tests.support.alerts import evaluate, let_fail, let_pass, make_alert, only
from tests.support.schedules import make_schedule
from tests.support.ticks import WholeScheduler
from tests.support.tuning import Tuning
from tests.support.verbs import ALERT_CLEAR_SECONDS, AlertEvaluator, Finding

pytestmark = pytest.mark.usefixtures("broker")


@pytest.fixture(autouse=True)
def _only_schedules(settings: Any) -> None:
    settings.DJANGO_JOBS = {**settings.DJANGO_JOBS, **only("schedule_cannot_fire")}


@pytest.fixture
def faulty() -> Schedule:
    make_schedule()
    Schedule.objects.update(fault="It is gone.")
    return Schedule.objects.get()


def mend() -> None:
    Schedule.objects.update(fault="")


def test_an_alarm_is_raised_once_and_its_facts_are_kept_up_to_date(faulty: Schedule) -> None:
    evaluator = AlertEvaluator()
    (first,) = evaluate(evaluator)
    Schedule.objects.update(fault="Another reason.")
    (second,) = evaluate(evaluator)
    assert (second.pk, second.facts["error"]) == (first.pk, "Another reason.")
    assert second.seen_at > first.seen_at


def test_raising_and_clearing_are_announced_once(faulty: Schedule, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "django_jobs")
    evaluator = AlertEvaluator()
    counts = [evaluator.evaluate(), evaluator.evaluate()]
    mend()
    let_pass()
    counts += [evaluator.evaluate(), evaluator.evaluate()]
    assert counts == [1, 0, 1, 0]
    assert len([text for text in caplog.messages if "event=alert_" in text]) == 2


def test_what_was_raised_is_announced_also_if_the_scheduler_ends_then(
    faulty: Schedule, caplog: pytest.LogCaptureFixture, settings: Any, tuning: Tuning
) -> None:
    def end(_look: Any) -> list[Finding]:
        raise SystemExit

    settings.DJANGO_JOBS = {**settings.DJANGO_JOBS, "ALERTS": {"no_scheduler": None}}
    rule = "schedule_cannot_fire"
    rules = verbs.ALERT_RULES
    tuning.set(alert_rules={rule: rules[rule], "no_worker": dataclasses.replace(rules["no_worker"], find=end)})
    evaluator = AlertEvaluator()
    with pytest.raises(SystemExit):
        evaluator.evaluate()
    assert len([text for text in caplog.messages if "event=alert_raised" in text]) == 1


def test_an_alarm_that_does_not_hold_for_a_moment_stays(faulty: Schedule) -> None:
    evaluator = AlertEvaluator()
    evaluate(evaluator)
    mend()
    let_pass(ALERT_CLEAR_SECONDS - 5)
    assert len(evaluate(evaluator)) == 1
    let_pass(5)
    assert evaluate(evaluator) == []


def test_what_comes_back_after_it_was_over_is_another_alarm(faulty: Schedule) -> None:
    evaluator = AlertEvaluator()
    (first,) = evaluate(evaluator)
    mend()
    let_pass()
    evaluate(evaluator)
    Schedule.objects.update(fault="Again.")
    (second,) = evaluate(evaluator)
    assert second.pk != first.pk
    assert Alert.objects.count() == 2


def test_of_two_schedulers_one_raises_an_alarm() -> None:
    now, finding = timezone.now(), Finding(subject="a type")
    assert verbs.raise_alert("type_failing", finding, now) is not None
    assert verbs.raise_alert("type_failing", finding, now) is None
    assert Alert.objects.count() == 1


def test_of_two_schedulers_one_clears_an_alarm() -> None:
    make_alert("type_failing", "a type")
    first, second = Alert.objects.get(), Alert.objects.get()
    assert verbs.clear_alert(first, timezone.now())
    assert not verbs.clear_alert(second, timezone.now())


def test_subjects_that_differ_in_case_have_alarms_of_their_own() -> None:
    now = timezone.now()
    for subject in ("Mail", "mail"):
        assert verbs.raise_alert("type_failing", Finding(subject=subject), now) is not None


def test_an_alarm_whose_subject_is_too_long_is_one_alarm(tuning: Tuning) -> None:
    name = "schedule_cannot_fire"
    rule = dataclasses.replace(verbs.ALERT_RULES[name], find=lambda _look: [Finding(subject="x" * 300)])
    tuning.set(alert_rules={name: rule})
    evaluator = AlertEvaluator()
    (first,) = evaluate(evaluator)
    let_pass()
    assert [alert.pk for alert in evaluate(evaluator)] == [first.pk]


@pytest.mark.parametrize("off", [None, False])
def test_a_rule_that_is_switched_off_has_no_alarm_any_more(settings: Any, faulty: Schedule, off: Any) -> None:
    evaluate()
    settings.DJANGO_JOBS = {**settings.DJANGO_JOBS, "ALERTS": {"schedule_cannot_fire": off}}
    assert evaluate() == []


def test_an_alarm_of_a_rule_that_is_no_more_is_over() -> None:
    make_alert("an_old_rule")
    assert evaluate() == []


def test_a_rule_that_fails_keeps_its_alarms_and_stops_no_other(
    settings: Any, tuning: Tuning, faulty: Schedule, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(look: object) -> list[Finding]:
        raise ValueError("no")

    settings.DJANGO_JOBS = {**settings.DJANGO_JOBS, "ALERTS": {"queue_waiting": None, "no_worker": None}}
    make_alert("type_failing", "a type")
    let_pass()
    failing = dataclasses.replace(verbs.ALERT_RULES["type_failing"], find=fail)
    tuning.set(alert_rules={**verbs.ALERT_RULES, "type_failing": failing})
    evaluator = AlertEvaluator()
    assert {alert.rule for alert in evaluate(evaluator)} == {"type_failing", "schedule_cannot_fire"}
    evaluate(evaluator)
    assert len([text for text in caplog.messages if "alert_rule_failed" in text]) == 1


def test_an_alarm_that_is_over_is_deleted_a_day_later() -> None:
    make_alert("type_failing", "old", cleared_ago=dt.timedelta(hours=25).total_seconds())
    make_alert("type_failing", "new", cleared_ago=dt.timedelta(hours=23).total_seconds())
    evaluate()
    assert [alert.subject for alert in Alert.objects.all()] == ["new"]


def test_the_scheduler_evaluates_the_rules(faulty: Schedule) -> None:
    scheduler = WholeScheduler("one")
    assert scheduler.tick()["watch"] == 1
    assert "watch" not in scheduler.tick()


def test_thresholds_that_make_no_sense_have_their_defaults(
    settings: Any, kind: JobType, organization: Organization
) -> None:
    values = {"share": "half", "attempts": -1, "seconds": 0}
    settings.DJANGO_JOBS = {**settings.DJANGO_JOBS, **only("type_failing", **values)}
    let_fail(kind, organization, 5)
    assert [alert.subject for alert in evaluate()] == [kind.pk]


def test_of_an_organization_that_is_erased_nothing_is_told(organization: Organization) -> None:
    facts = {
        "organizations": {str(organization.pk): 5, "999": 1},
        "error": "Kim's",
        "exception": "No: Kim's",
        "failed": 6,
    }
    make_alert("type_failing", "a type", facts)
    make_alert("no_worker", "default", {"waiting": 3})
    verbs.erase_jobs(organization.pk)
    assert [alert.facts for alert in Alert.objects.order_by("pk")] == [
        {"organizations": {"999": 1}, "failed": 6},
        {"waiting": 3},
    ]


def test_that_no_scheduler_ran_is_told_as_over_by_the_one_that_comes(settings: Any) -> None:
    settings.DJANGO_JOBS = {**settings.DJANGO_JOBS, "ALERTS": {}}
    evaluator = AlertEvaluator()
    assert evaluator.evaluate() == 0
    EngineLease.objects.filter(pk=verbs.ALERT_LEASE).update(ticked_at=timezone.now() - dt.timedelta(hours=1))
    assert evaluator.evaluate() == 1
    assert evaluator.evaluate() == 0
    alert = Alert.objects.get()
    assert alert.rule == "no_scheduler"
    assert alert.cleared_at is not None
    assert alert.cleared_at - alert.raised_at > dt.timedelta(minutes=59)


def test_that_no_scheduler_ran_is_not_told_where_the_rule_is_off() -> None:
    evaluator = AlertEvaluator()
    evaluator.evaluate()
    EngineLease.objects.update(ticked_at=timezone.now() - dt.timedelta(hours=1))
    assert evaluator.evaluate() == 0


def test_a_duty_that_rests_since_it_was_slow_is_not_told_as_no_scheduler(settings: Any) -> None:
    settings.DJANGO_JOBS = {**settings.DJANGO_JOBS, "ALERTS": {}, "LEASE_SECONDS": 300}
    evaluator = AlertEvaluator()
    evaluator.evaluate()
    EngineLease.objects.filter(pk=verbs.ALERT_LEASE).update(ticked_at=timezone.now() - dt.timedelta(seconds=700))
    assert evaluator.evaluate() == 0
