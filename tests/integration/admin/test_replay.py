"""Replays in the admin: how one is ordered, held and told of, and who may what."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import User
from django.test import Client

from django_jobs.engine.control import replays
from django_jobs.engine.scheduler import Scheduler
from django_jobs.models import ExecutionLog, Job, JobType, Organization, Replay
from django_jobs.statuses import Status
from tests.support import admin
from tests.support.admin import remembered, said, text, url
from tests.support.brokers import reread
from tests.support.cases import rolled_back
from tests.support.dead_letters import die, group, order
from tests.support.factories import make_job_type, make_user

pytestmark = pytest.mark.usefixtures("broker")

VIEW = ["django_jobs.view_job"]


@pytest.fixture
def kind() -> JobType:
    return make_job_type(type_name="mails")


@pytest.fixture
def boss(mine: Organization) -> Client:
    """Staff who manages one organization."""
    return admin.staff_of(mine, role="admin", permissions=VIEW)


def test_a_click_starts_a_replay_that_the_scheduler_works_off(root: Client, kind: JobType, mine: Organization) -> None:
    jobs = [die(kind, mine) for _ in range(2)]
    response = order(root, jobs[0])
    Scheduler("one").tick()
    assert "of 2 looked at" in response.content.decode()
    assert Status.DEAD_LETTER not in [reread(job).status for job in jobs]


def test_it_is_remembered_who_started_it(root: Client, kind: JobType, mine: Organization) -> None:
    job = die(kind, mine)
    order(root, job, per_minute=6)
    Scheduler("one").tick()
    assert remembered(Replay.objects.get()) == [("root", "Started: Retry, 6 jobs a minute.")]
    assert ExecutionLog.objects.get(job=job, from_status="Dead Letter").actor == "root"


def test_a_rate_that_cannot_be_is_refused(
    subtests: pytest.Subtests, root: Client, kind: JobType, mine: Organization
) -> None:
    for per_minute in ("0", "6001", "-1", "many", ""):
        with rolled_back(subtests, per_minute=per_minute):
            response = order(root, die(kind, mine), per_minute=per_minute)
            assert response.context["form"].errors["per_minute"]
            assert not Replay.objects.exists()


def test_an_unknown_verb_is_refused(root: Client, kind: JobType, mine: Organization) -> None:
    assert order(root, die(kind, mine), verb="cancel").context["form"].errors["verb"]


def test_a_group_can_be_deleted(root: Client, kind: JobType, mine: Organization) -> None:
    job = die(kind, mine)
    order(root, job, verb="delete")
    Scheduler("one").tick()
    assert not Job.objects.filter(pk=job.pk).exists()


@pytest.mark.parametrize(("verb", "state"), [("pause", "paused"), ("stop", "stopped")])
def test_a_replay_can_be_held(verb: str, state: str, root: Client, kind: JobType, mine: Organization) -> None:
    order(root, die(kind, mine))
    replay = Replay.objects.get()
    response = root.post(url("replay", verb, replay.pk), follow=True)
    assert said(response) == [f"It is {state}."]
    assert Replay.objects.get().state == state
    assert remembered(replay)[-1] == ("root", f"{state.capitalize()}.")


def test_who_comes_second_is_told(root: Client, kind: JobType, mine: Organization) -> None:
    order(root, die(kind, mine))
    replay = Replay.objects.get()
    replays.stop(replay)
    response = root.post(url("replay", "pause", replay.pk), follow=True)
    assert said(response) == ["Nothing was changed: it is stopped already."]


def test_a_replay_tells_honestly_what_it_did_not_do(root: Client, kind: JobType, mine: Organization) -> None:
    order(root, die(kind, mine))
    Replay.objects.update(refused={replays.DEAD_PARENT: 4}, changed=2, total=6)
    page = text(root, url("replay", "change", Replay.objects.get().pk))
    assert f"<strong>4</strong>: {replays.DEAD_PARENT}." in page
    assert "<strong>2</strong> retried." in page


def test_a_replay_without_scheduler_says_that_it_waits(root: Client, kind: JobType, mine: Organization) -> None:
    order(root, die(kind, mine))
    page = text(root, url("replay", "change", Replay.objects.get().pk))
    assert "The scheduler, which does this, is silent" in page
    assert "looked at." in page


def test_only_one_that_goes_on_says_how_long_it_will_take(root: Client, kind: JobType, mine: Organization) -> None:
    Scheduler("leader-1").tick()
    order(root, die(kind, mine), per_minute=60)
    replay = Replay.objects.get()
    assert "looked at; about 1.0 s left." in text(root, url("replay", "change", replay.pk))
    replays.pause(replay)
    assert "looked at." in text(root, url("replay", "change", replay.pk))


def test_one_that_is_done_has_no_buttons(root: Client, kind: JobType, mine: Organization) -> None:
    order(root, die(kind, mine))
    Replay.objects.update(state="done")
    assert root.get(url("replay", "change", Replay.objects.get().pk)).context["switches"] == []


def test_an_organization_admin_replays_the_own_jobs_alone(
    boss: Client, kind: JobType, mine: Organization, theirs: Organization
) -> None:
    own, foreign = die(kind, mine), die(kind, theirs)
    order(boss, own)
    Scheduler("one").tick()
    assert reread(own).status != Status.DEAD_LETTER
    assert reread(foreign).status == Status.DEAD_LETTER


def test_staff_see_their_own_replays_alone(boss: Client, root: Client, kind: JobType, mine: Organization) -> None:
    job = die(kind, mine)
    order(root, job)
    replay = Replay.objects.get()
    assert boss.get(url("replay", "changelist")).context["cl"].result_count == 0
    assert boss.get(url("replay", "change", replay.pk)).status_code == 302
    boss.post(url("replay", "stop", replay.pk))
    assert Replay.objects.get().state == "running"
    assert boss.get(group(job)).context["replays"] == []


def test_a_replay_cannot_be_switched_by_a_link(root: Client, kind: JobType, mine: Organization) -> None:
    order(root, die(kind, mine))
    assert root.get(url("replay", "stop", Replay.objects.get().pk)).status_code == 405


def test_a_replay_that_is_gone_is_said_to_be(root: Client) -> None:
    assert said(root.post(url("replay", "stop", 999), follow=True)) == ["replay 999 is not there any more."]


def test_replays_are_listed(root: Client, kind: JobType, mine: Organization) -> None:
    order(root, die(kind, mine))
    assert "0 of 1 retried" in text(root, url("replay", "changelist"))


def test_whoever_started_a_replay_may_be_deleted(root: Client, kind: JobType, mine: Organization) -> None:
    order(root, die(kind, mine))
    User.objects.get(username="root").delete()
    assert "root" in text(
        admin.client_of(make_user("other", is_staff=True, is_superuser=True)), url("replay", "changelist")
    )
