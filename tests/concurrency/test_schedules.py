"""Each firing once, however many schedulers run and whenever one of them dies."""

from __future__ import annotations

import signal

import pytest
from django.db import connection, transaction

from django_jobs.models import Job, Schedule, ScheduleFiring
from tests.concurrency import members
from tests.concurrency.held import held
from tests.concurrency.members import die_before_the_mark, fire
from tests.concurrency.processes import run_processes, run_to_its_end
from tests.support import verbs
from tests.support.factories import make_job_type, make_organization
from tests.support.schedules import MINUTE, NOON, make_schedule

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("full_broker")]

PROCESSES = 3
SCHEDULES = 8
MISSED = 5


def test_of_schedulers_that_fire_at_once_each_firing_is_somebodys_and_happens_once() -> None:
    kind, organization = make_job_type(), make_organization()
    for number in range(SCHEDULES):
        make_schedule(kind, organization, name=f"s-{number}", catch_up="all", overlap="allow")
    now = NOON + (MISSED - 1) * MINUTE
    answers = run_processes([(fire, {"now": now.isoformat()})] * PROCESSES)
    verbs.fire(now)  # what one left to another that held it
    fired = list(ScheduleFiring.objects.values_list("schedule__name", "due_at"))
    assert len(fired) == len(set(fired)) == SCHEDULES * MISSED
    assert set(ScheduleFiring.objects.values_list("outcome", flat=True)) == {"submitted"}
    assert Job.objects.count() == SCHEDULES * MISSED
    assert sum(answers) <= SCHEDULES * MISSED


def test_who_is_killed_between_submission_and_mark_leaves_no_trace_and_the_next_one_fires() -> None:
    schedule = make_schedule(make_job_type(), make_organization())
    assert run_to_its_end(die_before_the_mark, {"now": NOON.isoformat()}) == -signal.SIGKILL
    assert not Job.objects.exists()
    assert not ScheduleFiring.objects.exists()
    [fired] = verbs.fire(NOON)
    assert (fired.outcome, fired.due_at, Job.objects.count()) == ("submitted", NOON, 1)
    assert verbs.fire(NOON) == []
    schedule.refresh_from_db()
    assert schedule.last_fired_at == NOON


def test_of_processes_that_make_the_same_schedule_one_makes_it_and_the_others_change_it() -> None:
    common = {"kind": make_job_type().pk, "organization": make_organization().name}
    keys = run_processes([(members.make_schedule, {**common, "seed": seed}) for seed in range(PROCESSES)])
    schedule = Schedule.objects.get()
    assert set(keys) == {schedule.pk}
    assert schedule.every in range(60, 60 + PROCESSES)


def test_a_schedule_that_another_holds_is_left_to_it() -> None:
    if not connection.features.has_select_for_update_skip_locked:
        pytest.skip("This database locks as a whole.")
    schedule = make_schedule(make_job_type(), make_organization())
    with held(schedule, fault=""):
        assert verbs.fire(NOON) == []
    assert not Job.objects.exists()
    with transaction.atomic():
        [fired] = verbs.fire(NOON)
        assert run_processes([(fire, {"now": NOON.isoformat()})]) == [0]
    assert fired.outcome == "submitted"
