"""Firing: one job for each moment, with the marks in the same transaction; what is refused is told and stops nobody."""

from __future__ import annotations

import datetime as dt

import pytest

from django_jobs.exceptions import ScheduleNotFound
from django_jobs.models import ExecutionLog, Job, Organization, Schedule, ScheduleFiring
from django_jobs.statuses import Status
from tests.support import verbs
from tests.support.factories import make_job_type, make_organization, make_system_admin, make_user
from tests.support.schedules import HOUR, MINUTE, NOON, make_schedule
from tests.support.ticks import WholeScheduler
from tests.support.tuning import Tuning

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("broker")]


def outcomes() -> list[str]:
    return list(ScheduleFiring.objects.order_by("pk").values_list("outcome", flat=True))


def reasons(fired: list[ScheduleFiring]) -> list[tuple[str, str]]:
    """What came of firings, and the codes of what they say."""
    return [(item.outcome, getattr(item.note, "code", "")) for item in fired]


def reread(schedule: Schedule) -> Schedule:
    schedule.refresh_from_db()
    return schedule


def test_a_due_schedule_submits_one_job_and_goes_on_to_its_next_moment(organization: Organization) -> None:
    schedule = make_schedule(None, organization, parameters={"n": 1}, priority="High", cron="0 12 * * *")
    [fired] = verbs.fire(NOON)
    job = Job.objects.get()
    assert (job.input_parameters, job.priority, job.organization_id) == ({"n": 1}, 2, organization.pk)
    assert (fired.outcome, fired.due_at, fired.job_id, fired.submitted) == ("submitted", NOON, job.pk, 1)
    assert reread(schedule).last_fired_at == NOON
    assert schedule.next_run_at == NOON + 24 * HOUR
    assert verbs.fire(NOON) == []


def test_the_job_knows_which_schedule_and_which_local_moment_it_is_for(organization: Organization) -> None:
    midnight = dt.datetime(2026, 6, 2, 22, tzinfo=dt.UTC)
    make_schedule(None, organization, due=midnight, cron="0 0 * * *", timezone="Europe/Berlin")
    verbs.fire(midnight + HOUR)
    assert Job.objects.get().metadata == {"schedule": "nightly", "scheduled_for": "2026-06-03T00:00:00+02:00"}


def test_nothing_fires_before_its_moment(organization: Organization) -> None:
    make_schedule(None, organization)
    assert verbs.fire(NOON - dt.timedelta(microseconds=1)) == []


def test_the_window_of_the_type_swallows_no_firing(organization: Organization) -> None:
    make_schedule(make_job_type(deduplication_window=3600), organization, overlap="allow")
    for number in range(3):
        verbs.fire(NOON + number * MINUTE)
    assert Job.objects.count() == 3


def test_a_firing_is_skipped_while_the_last_job_is_unfinished(organization: Organization) -> None:
    make_schedule(None, organization)
    fired = [*verbs.fire(NOON), *verbs.fire(NOON + MINUTE)]
    Job.objects.update(status=Status.COMPLETED, ready_at=None)
    fired += verbs.fire(NOON + 2 * MINUTE)
    assert reasons(fired) == [("submitted", ""), ("skipped", "last_job_unfinished"), ("submitted", "")]
    assert [bool(item.note) for item in ScheduleFiring.objects.order_by("pk")] == [False, True, False]


@pytest.mark.parametrize(
    ("catch_up", "minutes"), [("skip", []), ("once", [60]), ("all", list(range(61)))], ids=["skip", "once", "all"]
)
def test_after_an_hour_of_outage(catch_up: str, minutes: list[int], organization: Organization) -> None:
    make_schedule(None, organization, catch_up=catch_up, overlap="allow")
    now = NOON + HOUR + dt.timedelta(seconds=40)
    verbs.fire(now)
    done = ScheduleFiring.objects.filter(outcome="submitted").order_by("pk")
    assert list(done.values_list("due_at", flat=True)) == [NOON + number * MINUTE for number in minutes]
    assert Job.objects.count() == len(minutes)
    assert Schedule.objects.get().next_run_at == NOON + HOUR + MINUTE


def test_what_nobody_catches_up_is_told_in_the_history(organization: Organization) -> None:
    make_schedule(None, organization, catch_up="skip")
    fired = verbs.fire(NOON + dt.timedelta(seconds=40))
    assert reasons(fired) == [("skipped", "missed")]
    assert ScheduleFiring.objects.get().note


def test_a_firing_counts_as_on_time_as_long_as_a_change_of_the_leader_takes(organization: Organization) -> None:
    make_schedule(None, organization, catch_up="skip")
    verbs.fire(NOON + dt.timedelta(seconds=30))
    assert outcomes() == ["submitted"]


def test_no_more_than_a_hundred_are_caught_up_the_latest_ones_first_to_last(organization: Organization) -> None:
    make_schedule(None, organization, catch_up="all", overlap="allow")
    verbs.fire(NOON + 1000 * MINUTE)
    due = list(ScheduleFiring.objects.order_by("pk").values_list("due_at", flat=True))
    assert due == [NOON + number * MINUTE for number in range(901, 1001)]


def test_one_that_has_much_to_catch_up_takes_turns_with_the_others(organization: Organization) -> None:
    make_schedule(None, organization, name="behind", catch_up="all", overlap="allow")
    make_schedule(None, organization, name="other", due=NOON + MINUTE)
    now = NOON + 2 * MINUTE
    rounds = [[item.schedule.name for item in verbs.fire_round(now)] for _ in range(4)]
    assert rounds == [["behind", "other"], ["behind"], ["behind"], []]


def test_however_many_are_due_of_one_organization_another_takes_its_turn(organization: Organization) -> None:
    kind, other = make_job_type(), make_organization()
    for number in range(30):
        make_schedule(kind, organization, name=f"{number:02}")
    make_schedule(kind, other, due=NOON + MINUTE)
    make_schedule(kind, name="for all", due=NOON + 2 * MINUTE)
    fired = [item.schedule.name for item in verbs.fire(NOON + 2 * MINUTE)]
    assert fired[:4] == ["00", "nightly", "for all", "01"]
    assert len(fired) == 32


def test_who_becomes_due_in_a_long_round_waits_for_one_firing_of_each(
    organization: Organization, tuning: Tuning
) -> None:
    tuning.set(schedule_round_seconds=0.0)
    kind, other = make_job_type(), make_organization()
    for name in ("a", "b", "c"):
        make_schedule(kind, organization, name=name)
    make_schedule(kind, other)
    rounds = [[item.schedule.name for item in verbs.fire_round(NOON)] for _ in range(4)]
    assert rounds == [["a", "nightly"], ["b"], ["c"], []]


@pytest.mark.django_db(transaction=True)
def test_what_a_round_submits_is_dispatched(organization: Organization) -> None:
    kind = make_job_type(max_running=50)  # of such a type no job goes without a pass
    for number in range(5):
        make_schedule(kind, organization, name=f"{number}")
    verbs.fire_round(NOON)
    assert list(Job.objects.values_list("status", flat=True)) == [Status.QUEUED] * 5


def test_after_its_end_it_fires_no_more(organization: Organization) -> None:
    schedule = make_schedule(None, organization, ends_at=NOON + dt.timedelta(seconds=30))
    verbs.fire(NOON)
    assert reread(schedule).next_run_at is None


def test_what_another_scheduler_fired_since_it_was_found_due_fires_no_more(organization: Organization) -> None:
    schedule = make_schedule(None, organization, overlap="allow")
    assert verbs.fire_one(schedule.pk, NOON) is not None
    assert verbs.fire_one(schedule.pk, NOON) is None
    assert Job.objects.count() == 1


def test_nothing_fires_twice_when_the_clock_is_set_back(organization: Organization) -> None:
    schedule = make_schedule(None, organization, overlap="allow")
    verbs.fire(NOON + 10 * MINUTE)
    verbs.change_schedule(schedule, {"cron": "*/2 * * * *"})  # which reckons the next moment anew
    Schedule.objects.update(next_run_at=NOON + 11 * MINUTE)
    assert verbs.fire(NOON - HOUR) == []
    assert len(verbs.fire(NOON + 11 * MINUTE)) == 1


def test_a_new_rule_fires_after_the_last_firing_also_where_the_clock_was_set_back(organization: Organization) -> None:
    schedule = make_schedule(None, organization)
    ahead = dt.datetime.now(dt.UTC).replace(microsecond=0) + 3 * HOUR
    Schedule.objects.update(last_fired_at=ahead, next_run_at=ahead + MINUTE)
    changed = verbs.change_schedule(schedule, {"cron": "*/2 * * * *"})
    assert changed.next_run_at is not None
    assert ahead < changed.next_run_at <= ahead + 2 * MINUTE


def test_jobs_are_the_owners(organization: Organization) -> None:
    boss = make_user("boss", admin_of=[organization])
    make_schedule(None, organization, user=boss)
    verbs.fire(NOON)
    assert Job.objects.get().owner == boss
    assert ExecutionLog.objects.get().actor == "boss"


def test_each_active_organization_gets_one_job(organization: Organization) -> None:
    others = [make_organization() for _ in range(3)]
    Organization.objects.filter(pk=others[0].pk).update(is_active=False)
    make_schedule()
    [fired] = verbs.fire(NOON)
    assert (fired.outcome, fired.submitted, fired.skipped) == ("submitted", 3, 1)
    assert reasons([fired]) == [("submitted", "organization_inactive")]
    assert "1" in fired.note
    assert set(Job.objects.values_list("organization_id", flat=True)) == {organization.pk, others[1].pk, others[2].pk}


def test_of_many_organizations_those_with_an_unfinished_job_are_skipped(organization: Organization) -> None:
    make_organization()
    make_schedule()
    verbs.fire(NOON)
    Job.objects.filter(organization=organization).update(status=Status.COMPLETED, ready_at=None)
    [fired] = verbs.fire(NOON + MINUTE)
    assert (fired.submitted, fired.skipped) == (1, 1)
    assert reasons([fired]) == [("submitted", "last_job_unfinished")]
    assert Job.objects.latest("pk").organization == organization


def test_without_any_organization_it_says_so() -> None:
    make_schedule()
    assert reasons(verbs.fire(NOON)) == [("skipped", "no_organization")]
    assert ScheduleFiring.objects.get().note


def test_the_jobs_of_one_firing_are_spread_and_a_tenants_place_stays_the_same() -> None:
    for _ in range(5):
        make_organization()
    make_schedule(jitter=3600, overlap="allow")
    verbs.fire(NOON)
    verbs.fire(NOON + MINUTE)
    first, second = (
        dict(Job.objects.order_by("pk")[start : start + 5].values_list("organization_id", "run_at")) for start in (0, 5)
    )
    assert second == {pk: moment + MINUTE for pk, moment in first.items() if moment is not None}
    assert len(set(first.values())) > 1
    assert all(moment is not None and NOON <= moment < NOON + HOUR for moment in first.values())


def test_what_is_caught_up_is_spread_from_now_on(organization: Organization) -> None:
    make_schedule(None, organization, jitter=60, cron="0 * * * *")
    verbs.fire(NOON + 30 * MINUTE)
    run_at = Job.objects.get().run_at
    assert run_at is not None
    assert NOON + 30 * MINUTE <= run_at < NOON + 31 * MINUTE


def test_by_hand_it_fires_at_once_and_its_next_moment_stays(organization: Organization) -> None:
    root = make_system_admin("root")
    schedule = make_schedule(None, organization)
    verbs.pause_schedule(schedule)
    fired = verbs.fire_now(schedule, user=root)
    assert (fired.outcome, fired.actor) == ("submitted", "root")
    assert (reread(schedule).next_run_at, schedule.last_fired_at) == (None, None)


def test_nobody_fires_what_they_do_not_manage(organization: Organization) -> None:
    schedule = make_schedule(None, organization)
    with pytest.raises(ScheduleNotFound):
        verbs.fire_now(schedule, user=make_user(member_of=[organization]))


def test_a_tick_of_a_scheduler_without_threads_fires(organization: Organization) -> None:
    make_schedule(None, organization)
    assert WholeScheduler("s").tick()["fire_schedules"] == 1
