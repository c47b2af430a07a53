"""Replaying a group of Dead Letters: at its rate, once each, with an honest account."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
from django.contrib.auth.models import User

from django_jobs import submit_job
from django_jobs.engine.control import replays
from django_jobs.engine.control.retry import retry_job
from django_jobs.engine.dependencies import follow_up
from django_jobs.engine.scheduler import Scheduler
from django_jobs.models import ExecutionLog, Job, JobType, Replay
from django_jobs.statuses import Status
from tests.support.brokers import end, raised, reread, start
from tests.support.factories import make_job_type, make_organization, make_system_admin
from tests.support.replays import FAST, begin, dead, finish, later
from tests.support.statements import statements_of

pytestmark = pytest.mark.usefixtures("broker")


@pytest.fixture
def kind() -> JobType:
    return make_job_type(type_name="mails")


@pytest.fixture
def root() -> User:
    return make_system_admin("root")


def statuses(jobs: list[Job]) -> list[str]:
    return [reread(job).status for job in jobs]


def test_a_group_comes_to_life_again(kind: JobType, root: User) -> None:
    jobs = dead(kind, 3)
    replay = finish(begin(jobs[0], root))
    assert Status.DEAD_LETTER not in statuses(jobs)
    assert (replay.state, replay.total, replay.changed, replay.refused) == ("done", 3, 3, {})
    assert replay.ended_at is not None


def test_retried_jobs_get_all_their_retries_and_lose_their_error(kind: JobType, root: User) -> None:
    (job,) = dead(kind, 1)
    finish(begin(job, root))
    fresh = reread(job)
    assert (fresh.retry_count, fresh.error_message, fresh.error_fingerprint, fresh.attempt) == (0, "", "", 1)


def test_the_log_says_who_did_it(kind: JobType, root: User) -> None:
    (job,) = dead(kind, 1)
    replay = finish(begin(job, root))
    log = ExecutionLog.objects.get(job=job, from_status="Dead Letter")
    assert (log.actor, log.message) == ("root", f"Retried by hand, in replay {replay.pk}")


def test_other_groups_stay_dead(kind: JobType, root: User) -> None:
    (job,) = dead(kind, 1)
    (other_type,) = dead(make_job_type(), 1)
    other_error = end(raised(start(submit_job(kind, make_organization())), "Permanent", text="of something else"))
    finish(begin(job, root))
    assert statuses([other_type, other_error]) == [Status.DEAD_LETTER] * 2


def test_what_died_after_the_start_stays_dead(kind: JobType, root: User) -> None:
    jobs = dead(kind, 2)
    replay = begin(jobs[0], root)
    (late,) = dead(kind, 1)
    assert finish(replay).changed == 2
    assert reread(late).status == Status.DEAD_LETTER


def test_a_job_that_dies_again_is_not_retried_again(kind: JobType, root: User) -> None:
    jobs = dead(kind, 2)
    replay = begin(jobs[0], root, per_minute=1)
    replays.work_off()
    end(raised(start(reread(jobs[0])), "Permanent"))
    assert finish(replay).changed == 2
    assert statuses(jobs) == [Status.DEAD_LETTER, Status.PENDING]


def test_the_rate_is_kept(kind: JobType, root: User) -> None:
    jobs = dead(kind, 6)
    replay = begin(jobs[0], root, per_minute=60)
    assert replays.work_off() == 1
    assert replays.work_off() == 0
    later(replay, 2)
    assert replays.work_off() == 2


def test_a_pause_of_the_scheduler_is_not_caught_up_in_a_rush(kind: JobType, root: User) -> None:
    jobs = dead(kind, 8)
    replay = begin(jobs[0], root, per_minute=60)
    later(replay, 3600)
    assert replays.work_off() == 5
    assert replays.work_off() <= 1


def test_a_turn_takes_a_bounded_batch_in_as_many_statements_whatever_its_size(
    kind: JobType, root: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    begin(dead(kind, 2)[0], root)
    few = statements_of(replays.work_off)
    other = make_job_type()
    later(begin(dead(other, 12)[0], root), 10)
    monkeypatch.setattr(replays, "BATCH", 10)
    begin(dead(make_job_type(), 1)[0], root)
    Replay.objects.exclude(job_type=other.pk).delete()
    assert statements_of(replays.work_off) <= few + 4
    assert Replay.objects.get().changed == 10


def test_without_replays_a_tick_asks_once(root: User) -> None:
    assert statements_of(replays.work_off) == 1


def test_the_scheduler_works_it_off(kind: JobType, root: User) -> None:
    (job,) = dead(kind, 1)
    begin(job, root)
    assert Scheduler("one").tick()["replay"] == 1


def test_a_paused_one_waits_until_it_is_resumed(kind: JobType, root: User) -> None:
    (job,) = dead(kind, 1)
    replay = begin(job, root)
    assert replays.pause(replay)
    assert replays.work_off() == 0
    assert replays.resume(replay)
    assert finish(replay).changed == 1


def test_a_stopped_one_leaves_the_rest_dead(kind: JobType, root: User) -> None:
    jobs = dead(kind, 2)
    replay = begin(jobs[0], root, per_minute=1)
    replays.work_off()
    assert replays.stop(replay)
    later(replay, 600)
    assert replays.work_off() == 0
    assert Status.DEAD_LETTER in statuses(jobs)


@pytest.mark.parametrize("act", [replays.pause, replays.resume, replays.stop])
def test_nothing_more_happens_to_one_that_is_done(act: Any, kind: JobType, root: User) -> None:
    replay = finish(begin(dead(kind, 1)[0], root))
    assert not act(replay)


def test_of_jobs_that_wait_for_a_dead_parent_it_is_said(kind: JobType, root: User) -> None:
    parent = submit_job(make_job_type(), tenant := make_organization())
    child = submit_job(kind, tenant, depends_on=[parent])
    end(raised(start(parent), "Permanent", text="boom"))
    follow_up.follow_up()
    replay = finish(begin(reread(child), root))
    assert replay.refused == {replays.DEAD_PARENT: 1}
    assert reread(child).status == Status.DEAD_LETTER


def test_a_retried_parent_revives_what_died_with_it(kind: JobType, root: User) -> None:
    parent = submit_job(kind, tenant := make_organization())
    child = submit_job(make_job_type(), tenant, depends_on=[parent])
    dead_parent = end(raised(start(parent), "Permanent", text="boom"))
    follow_up.follow_up()
    finish(begin(dead_parent, root))
    Scheduler("one").tick()
    assert reread(child).status == Status.PENDING


def test_jobs_that_changed_meanwhile_are_told(kind: JobType, root: User) -> None:
    jobs = dead(kind, 3)
    replay = begin(jobs[0], root)
    retry_job(jobs[1])
    assert finish(replay).refused == {replays.CHANGED: 1}


def test_a_group_can_be_deleted(kind: JobType, root: User) -> None:
    jobs = dead(kind, 3)
    replay = finish(begin(jobs[0], root, verb="delete"))
    assert replay.changed == 3
    assert not Job.objects.filter(pk__in=[job.pk for job in jobs]).exists()


@pytest.mark.parametrize("change", [{"status": "Completed"}, {"error_fingerprint": "another"}], ids=str)
def test_what_left_the_group_since_it_was_listed_is_not_deleted(
    change: dict[str, str], kind: JobType, root: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    jobs = dead(kind, 3)
    replay = begin(jobs[0], root, verb="delete")

    def may(*_: object) -> bool:  # it is asked after the look and before the deletion
        Job.objects.filter(pk=jobs[1].pk).update(**change)
        return True

    monkeypatch.setattr(replays, "may", may)
    done = finish(replay)
    assert (done.changed, done.refused) == (2, {replays.CHANGED: 1})
    assert [job.pk for job in Job.objects.filter(pk__in=[job.pk for job in jobs])] == [jobs[1].pk]


def test_of_a_group_that_is_empty_by_now_there_is_no_replay(kind: JobType, root: User) -> None:
    assert replays.start_replay(kind.pk, "nothing", user=root, per_minute=1) is None


@pytest.mark.parametrize(("verb", "per_minute"), [("cancel", 60), ("retry", 0), ("retry", FAST + 1)])
def test_what_cannot_be_is_refused(verb: str, per_minute: int, kind: JobType, root: User) -> None:
    with pytest.raises(ValueError, match="No such replay"):
        replays.start_replay(kind.pk, "", user=root, verb=verb, per_minute=per_minute)


def test_a_replay_that_ended_long_ago_is_forgotten(kind: JobType, root: User) -> None:
    (job, other) = dead(kind, 1) + dead(make_job_type(), 1)
    ended, recent = begin(job, root), begin(other, root)
    replays.stop(ended)
    replays.stop(recent)
    Replay.objects.filter(pk=ended.pk).update(ended_at=ended.started_at - dt.timedelta(days=31))
    assert replays.forget_old() == 1
    assert Replay.objects.get() == recent
