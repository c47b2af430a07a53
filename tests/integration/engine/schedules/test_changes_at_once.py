"""Schedules that several people change at the same moment."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest

from django_jobs import schedule_job
from django_jobs.exceptions import InvalidSchedule, ScheduleNotFound
from django_jobs.models import JobType, Organization, Schedule
from tests.support import verbs
from tests.support.factories import make_user
from tests.support.refusals import refused
from tests.support.statements import before_statement
from tests.support.verbs import Interpose

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("broker")]


def test_what_others_change_at_the_same_moment_stays(kind: JobType, interpose: Interpose) -> None:
    real = verbs.check_definition
    schedule_job("n", kind, every=60)

    def check_slowly(*args: Any) -> Any:
        Schedule.objects.update(jitter=5, is_enabled=False, next_run_at=None)
        return real(*args)

    interpose("check_definition", check_slowly)
    changed = verbs.change_schedule("n", {"overlap": "allow"})
    assert (changed.overlap, changed.jitter, changed.is_enabled) == ("allow", 5, False)


@pytest.mark.parametrize(
    ("theirs", "mine"),
    [
        ({"cron": "0 5 * * *", "every": None}, {"every": 120}),
        ({"starts_at": dt.datetime(2030, 6, 1, tzinfo=dt.UTC)}, {"ends_at": dt.datetime(2030, 5, 1, tzinfo=dt.UTC)}),
    ],
    ids=["the rule", "the time"],
)
def test_what_was_judged_together_is_written_together(
    kind: JobType, interpose: Interpose, theirs: dict[str, Any], mine: dict[str, Any]
) -> None:
    real = verbs.check_definition
    schedule_job("n", kind, every=60)

    def check_slowly(*args: Any) -> Any:
        interpose("check_definition", real)
        verbs.change_schedule("n", theirs)
        return real(*args)

    interpose("check_definition", check_slowly)
    changed = verbs.change_schedule("n", mine)
    assert {name: getattr(changed, name) for name in mine} == mine
    assert verbs.check_definition(verbs.definition_values(changed))[1] == {}


def test_a_name_that_another_takes_at_the_same_moment_is_refused(
    kind: JobType,
) -> None:
    made = schedule_job("a", kind, every=60)

    def take() -> None:
        Schedule.objects.create(name="b", job_type=kind, every=60, created_at=made.created_at)

    with before_statement("UPDATE", Schedule, take), refused(InvalidSchedule, {"name": ["taken"]}):
        verbs.change_schedule("a", {"name": "b"})


def test_who_loses_the_right_at_the_same_moment_changes_nothing(
    kind: JobType, organization: Organization, interpose: Interpose
) -> None:
    real, admin = verbs.check_definition, make_user(admin_of=[organization])
    made = schedule_job("n", kind, organization, every=60)

    def check_slowly(*args: Any) -> Any:
        admin.job_memberships.all().delete()
        return real(*args)

    interpose("check_definition", check_slowly)
    with pytest.raises(ScheduleNotFound):
        verbs.change_schedule(made, {"jitter": 5}, user=admin)
