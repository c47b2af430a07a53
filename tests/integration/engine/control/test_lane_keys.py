"""A type gets another concurrency key: its unfinished jobs come into the lanes of that one, and no other is touched."""

from __future__ import annotations

from typing import Any

import pytest

from django_jobs import cancel_job, retry_job, submit_job
from django_jobs.models import Job, JobType, Organization
from tests.support import verbs
from tests.support.brokers import job_in
from tests.support.clocks import Clock
from tests.support.factories import make_job_type, make_organization
from tests.support.tuning import Tuning
from tests.support.verbs import Interpose, LaneKeyWatch, Scheduler

pytestmark = pytest.mark.usefixtures("broker")


@pytest.fixture
def kind() -> JobType:
    return make_job_type()


@pytest.fixture(autouse=True)
def small_sets(tuning: Tuning) -> None:
    tuning.set(lane_keys_read_rows=3, lane_keys_written_jobs=2)


def set_key(kind: JobType, key: str) -> None:
    JobType.objects.filter(pk=kind.pk).update(concurrency_key=key)


def is_done(kind: JobType) -> bool:
    return verbs.is_rekeyed(JobType.objects.get(pk=kind.pk))


def lanes() -> dict[int, int]:
    return dict(Job.objects.values_list("pk", "lane_key"))


def lane_of(customer: Any) -> int:
    return verbs.lane_key("customer", {"customer": customer})


def test_a_new_type_has_nothing_to_follow_up(kind: JobType) -> None:
    keyed = make_job_type(concurrency_key="customer")
    assert (is_done(kind), is_done(keyed)) == (True, True)
    assert (
        JobType.objects.bulk_create([JobType(type_name="bulky", concurrency_key="customer")])[0].keyed_by == "customer"
    )


def test_what_waits_or_runs_comes_into_its_lane(kind: JobType, organization: Organization) -> None:
    statuses = ["Pending", "Queued", "Running", "Failed", "Timed Out", "Dead Letter"]
    jobs = [job_in(status, organization=organization, job_type=kind) for status in statuses]
    Job.objects.filter(pk__in=[job.pk for job in jobs]).update(input_parameters={"customer": 7})
    set_key(kind, "customer")
    assert not is_done(kind)
    assert LaneKeyWatch().rewrite() == len(jobs)
    assert set(lanes().values()) == {lane_of(7)}
    assert is_done(kind)


def test_what_waits_for_a_parent_or_its_moment_too(kind: JobType, organization: Organization) -> None:
    parent = submit_job(make_job_type(), organization)
    child = submit_job(kind, organization, {"customer": 1}, depends_on=parent)
    set_key(kind, "customer")
    LaneKeyWatch().rewrite()
    assert lanes() == {parent.pk: 0, child.pk: lane_of(1)}


def test_what_has_ended_for_good_and_other_types_jobs_stay(kind: JobType, organization: Organization) -> None:
    completed = job_in("Completed", organization=organization, job_type=kind)
    canceled = submit_job(kind, organization, {"customer": 1})
    cancel_job(canceled)
    other = submit_job(make_job_type(), organization, {"customer": 1})
    set_key(kind, "customer")
    assert LaneKeyWatch().rewrite() == 0
    assert lanes() == dict.fromkeys([completed.pk, canceled.pk, other.pk], 0)


def test_jobs_of_many_organizations_in_many_sets(kind: JobType) -> None:
    owners = [make_organization() for _ in range(4)]
    jobs = [submit_job(kind, owner, {"customer": number}) for owner in owners for number in range(5)]
    set_key(kind, "customer")
    assert LaneKeyWatch().rewrite() == len(jobs)
    assert lanes() == {job.pk: lane_of(job.input_parameters["customer"]) for job in jobs}


def test_a_key_that_is_taken_away_leaves_one_lane(organization: Organization) -> None:
    kind = make_job_type(concurrency_key="customer")
    job = submit_job(kind, organization, {"customer": 1})
    set_key(kind, "")
    LaneKeyWatch().rewrite()
    assert (lanes(), is_done(kind)) == ({job.pk: 0}, True)


def test_a_large_backlog_takes_several_calls(
    kind: JobType, organization: Organization, monkeypatch: pytest.MonkeyPatch, tuning: Tuning
) -> None:
    clock, following_keys = Clock(), verbs.store().following_keys

    def slow() -> Any:
        clock.now += 1
        return following_keys()

    tuning.set(lane_keys_clock=clock, lane_keys_seconds=0.25)
    monkeypatch.setattr(verbs.store(), "following_keys", slow)
    for _ in range(7):
        submit_job(kind, organization, {"customer": 1})
    set_key(kind, "customer")
    watch = LaneKeyWatch()
    assert [(watch.rewrite(), is_done(kind)) for _ in range(3)] == [(3, False), (3, False), (1, True)]


def test_a_return_to_the_key_of_before_is_followed_up_as_well(kind: JobType, organization: Organization) -> None:
    watch = LaneKeyWatch()
    set_key(kind, "customer")
    watch._find_changed()
    job = submit_job(kind, organization, {"customer": 1})
    set_key(kind, "")
    assert not is_done(kind)
    watch.rewrite()
    assert (lanes(), is_done(kind)) == ({job.pk: 0}, True)


def test_a_key_that_changes_in_the_midst_begins_the_walk_anew(
    kind: JobType, organization: Organization, monkeypatch: pytest.MonkeyPatch
) -> None:
    jobs = [submit_job(kind, organization, {"customer": 1, "region": 2}) for _ in range(4)]
    set_key(kind, "customer")
    watch = LaneKeyWatch()
    walk = watch._current(watch._find_changed())
    assert walk is not None
    walk.step()
    set_key(kind, "region")
    watch.rewrite()
    assert lanes() == {job.pk: verbs.lane_key("region", {"region": 2}) for job in jobs}
    assert is_done(kind)


def test_a_job_that_somebody_else_holds_is_waited_for_by_a_further_walk(
    kind: JobType, organization: Organization, monkeypatch: pytest.MonkeyPatch
) -> None:
    held, free = (submit_job(kind, organization, {"customer": 1}) for _ in range(2))
    set_key(kind, "customer")
    watch = LaneKeyWatch()
    with monkeypatch.context() as patch, Tuning() as brief:
        clock = Clock()
        brief.set(lane_keys_clock=clock, lane_keys_seconds=1e-9)
        locked = verbs.locked

        def without_the_held(rows: Any, *, skip: bool) -> Any:
            clock.now += 1  # so that this call is over after one walk
            return locked(rows.exclude(pk=held.pk), skip=skip)

        Interpose(patch)("locked", without_the_held)
        assert watch.rewrite() == 1
    assert (lanes(), is_done(kind)) == ({held.pk: 0, free.pk: lane_of(1)}, False)
    assert watch.rewrite() == 1
    assert (lanes()[held.pk], is_done(kind)) == (lane_of(1), True)


def test_saving_an_instance_that_was_read_before_leaves_the_mark(kind: JobType) -> None:
    old = JobType.objects.get(pk=kind.pk)
    set_key(kind, "customer")
    LaneKeyWatch().rewrite()
    old.save()
    stored = JobType.objects.get(pk=kind.pk)
    assert (stored.concurrency_key, stored.keyed_by) == ("", "customer")
    assert not is_done(kind)


def test_who_comes_to_lead_finds_jobs_in_other_lanes(organization: Organization) -> None:
    kind = make_job_type(concurrency_key="customer")
    job = submit_job(kind, organization, {"customer": 1})
    Job.objects.update(lane_key=0)
    assert LaneKeyWatch().rewrite() == 1
    assert lanes() == {job.pk: lane_of(1)}


def test_a_submission_that_was_slow_to_commit_is_found_later(
    kind: JobType, organization: Organization, tuning: Tuning
) -> None:
    tuning.set(lane_keys_again_seconds=(0.0,))
    set_key(kind, "customer")
    watch = LaneKeyWatch()
    watch._begin(0.0)
    changed = watch._find_changed()
    walk = watch._current(changed)
    assert walk is not None
    walk.step()
    watch._end(walk, is_change=True)
    job = submit_job(kind, organization, {"customer": 1})
    Job.objects.update(lane_key=0)
    watch._walk = None
    assert watch.rewrite() == 1
    assert lanes() == {job.pk: lane_of(1)}


def test_a_dead_letter_that_is_retried_is_in_the_lane_of_now(kind: JobType, organization: Organization) -> None:
    dead = job_in("Dead Letter", organization=organization, job_type=kind)
    set_key(kind, "customer")
    LaneKeyWatch().rewrite()
    assert retry_job(dead).lane_key == lane_of(None)


def test_the_scheduler_does_it(kind: JobType, organization: Organization) -> None:
    job = submit_job(kind, organization, {"customer": 1})
    set_key(kind, "customer")
    assert Scheduler("s").tick()["rekey"] == 1
    assert lanes() == {job.pk: lane_of(1)}
