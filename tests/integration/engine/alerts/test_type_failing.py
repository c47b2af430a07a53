"""The alarm that a job type fails."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
from django.db.models import F

from django_jobs.models import Job, JobType, Organization
from tests.support.alerts import evaluate, fail_a_job, let_fail, let_pass, make_alert, only, the_alarm
from tests.support.factories import make_job_type, make_organization
from tests.support.job_copies import copies
from tests.support.monitor import count
from tests.support.verbs import AlertEvaluator

pytestmark = pytest.mark.usefixtures("broker")


@pytest.fixture(autouse=True)
def _only_this_rule(settings: Any) -> None:
    settings.DJANGO_JOBS = {**settings.DJANGO_JOBS, **only("type_failing")}


def test_a_type_all_of_whose_attempts_fail_is_told_with_numbers_error_and_organizations(
    kind: JobType, organization: Organization
) -> None:
    let_fail(kind, organization, 863)
    alert = the_alarm()
    assert (alert.rule, alert.subject) == ("type_failing", kind.pk)
    assert (alert.facts["failed"], alert.facts["attempts"]) == (863, 863)
    assert alert.facts["organizations"] == {str(organization.pk): 1}
    assert alert.facts["exception"]


def test_five_failures_of_a_rare_type_within_a_day_are_told(kind: JobType, organization: Organization) -> None:
    for hour in (1, 5, 9, 14, 20):
        count(kind, organization, ago=hour * 3_600, failed=1)
    assert the_alarm().facts["attempts"] == 5


def test_one_failure_is_none(kind: JobType, organization: Organization) -> None:
    let_fail(kind, organization, 1)
    assert evaluate() == []


def test_three_failures_of_five_may_be_chance(kind: JobType, organization: Organization) -> None:
    count(kind, organization, ago=120, failed=3, completed=2)
    assert evaluate() == []


def test_failures_before_which_nearly_all_completed_are_none(kind: JobType, organization: Organization) -> None:
    count(kind, organization, ago=600, completed=90)
    count(kind, organization, ago=120, failed=10)
    assert evaluate() == []


def test_it_began_in_the_first_recent_minute_with_a_failure(kind: JobType, organization: Organization) -> None:
    count(kind, organization, ago=840, completed=5)
    for minute in range(10):
        count(kind, organization, ago=minute * 60, failed=2)
    assert (the_alarm().facts["failed"], the_alarm().facts["attempts"]) == (20, 20)


def test_an_attempt_that_completed_just_now_does_not_hide_what_fails(kind: JobType, organization: Organization) -> None:
    for minute in range(2, 12):
        count(kind, organization, ago=minute * 60, failed=2)
    count(kind, organization, completed=1)
    assert (the_alarm().facts["failed"], the_alarm().facts["attempts"]) == (20, 21)


def test_one_that_completed_hours_later_does_not_hide_what_fails(kind: JobType, organization: Organization) -> None:
    count(kind, organization, ago=6 * 3_600, failed=10)
    count(kind, organization, ago=3 * 3_600, completed=1)
    assert (the_alarm().facts["failed"], the_alarm().facts["attempts"]) == (10, 11)


def test_it_is_over_once_the_newest_attempts_complete(kind: JobType, organization: Organization) -> None:
    evaluator = AlertEvaluator()
    count(kind, organization, ago=600, failed=100)
    assert evaluate(evaluator)
    count(kind, organization, ago=60, completed=5)
    let_pass()
    assert evaluate(evaluator) == []


@pytest.mark.parametrize("hours", [0, 5])
def test_an_outage_that_is_over_is_not_told_since_the_newest_attempts_completed(
    kind: JobType, organization: Organization, hours: int
) -> None:
    for minutes, ended in ((23, {"failed": 100}), (22, {"completed": 5}), (21, {"failed": 1})):
        count(kind, organization, ago=hours * 3_600 + minutes * 60, **ended)
    assert evaluate() == []


def test_attempts_before_an_alarm_was_over_are_not_counted_again(kind: JobType, organization: Organization) -> None:
    count(kind, organization, ago=1_300, failed=100)
    make_alert("type_failing", kind.pk, ago=1_300, cleared_ago=1_200)
    count(kind, organization, ago=600, failed=4)
    assert evaluate() == []
    count(kind, organization, ago=300, failed=1)
    alert = the_alarm()
    assert (alert.facts["failed"], alert.facts["attempts"]) == (5, 5)


def test_nor_are_they_where_the_alarm_was_over_within_the_window(kind: JobType, organization: Organization) -> None:
    count(kind, organization, ago=700, failed=100)
    make_alert("type_failing", kind.pk, ago=700, cleared_ago=600)
    count(kind, organization, ago=300, failed=4)
    assert evaluate() == []


def test_a_flood_of_another_types_failures_hides_neither_error_nor_organizations(
    kind: JobType, organization: Organization
) -> None:
    let_fail(kind, organization, 10)
    fail_a_job(make_job_type(), make_organization())
    copies(Job.objects.latest("pk"), 1_000)
    facts = the_alarm().facts
    assert facts["organizations"] == {str(organization.pk): 1}
    assert (facts["error"], facts["has_more"]) == ("it failed", False)


def test_many_old_failures_with_another_error_do_not_hide_whose_jobs_fail_now(
    kind: JobType, organization: Organization
) -> None:
    let_fail(kind, organization, 10)
    fail_a_job(kind, make_organization())
    Job.objects.exclude(organization=organization).update(
        started_at=F("started_at") - dt.timedelta(days=2), error_fingerprint="0"
    )
    copies(Job.objects.latest("pk"), 1_000)
    assert the_alarm().facts["organizations"] == {str(organization.pk): 1}


def test_a_type_that_was_deleted_is_told_no_more(kind: JobType, organization: Organization) -> None:
    count(kind, organization, ago=120, failed=10)
    JobType.objects.filter(pk=kind.pk).delete()
    assert evaluate() == []


def test_a_type_that_is_told_has_its_counts_brought_up_to_date(kind: JobType, organization: Organization) -> None:
    evaluator = AlertEvaluator()
    count(kind, organization, ago=120, failed=10)
    first = evaluate(evaluator)[0]
    count(kind, organization, ago=60, failed=7)
    again = evaluate(evaluator)[0]
    assert (again.pk, again.facts["failed"], again.facts["since"]) == (first.pk, 17, first.facts["since"])


@pytest.mark.parametrize("thresholds", [{"share": 1}, {"share": 0.9, "attempts": 10}, {"seconds": 60}])
def test_thresholds_of_the_host_are_used(
    settings: Any, kind: JobType, organization: Organization, thresholds: dict[str, Any]
) -> None:
    settings.DJANGO_JOBS = {**settings.DJANGO_JOBS, **only("type_failing", **thresholds)}
    count(kind, organization, ago=0, failed=20)
    assert the_alarm().subject == kind.pk


def test_more_attempts_are_wanted_where_the_host_says_so(
    settings: Any, kind: JobType, organization: Organization
) -> None:
    settings.DJANGO_JOBS = {**settings.DJANGO_JOBS, **only("type_failing", attempts=21)}
    count(kind, organization, ago=0, failed=20)
    assert evaluate() == []


def test_that_a_failing_type_is_paused_is_told(kind: JobType, organization: Organization) -> None:
    count(kind, organization, ago=120, failed=10)
    JobType.objects.update(is_paused=True)
    assert the_alarm().facts["is_paused"] is True


def test_the_error_that_is_told_is_of_an_organization_whose_jobs_fail(
    kind: JobType, organization: Organization
) -> None:
    evaluator, other = AlertEvaluator(), make_organization()
    let_fail(kind, organization, 10)
    Job.objects.update(error_message="for Kim of the first")
    evaluate(evaluator)
    Job.objects.update(started_at=F("started_at") - dt.timedelta(days=2))
    fail_a_job(kind, other)
    (alert,) = evaluate(evaluator)
    assert alert.facts["organizations"] == {str(other.pk): 1}
    assert alert.facts["error"] == "it failed"
    assert alert.facts["error_of"] == str(other.pk)
