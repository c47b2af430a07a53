"""Walking the backlog from marks on, as beside a snapshot that is open for long."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest

from django_jobs.engine.dispatch import backlog
from django_jobs.models import EngineLease, Job, JobType, Organization
from django_jobs.statuses import Status
from tests.support import verbs
from tests.support.brokers import ALL_QUEUES, MemoryBroker, end, pending_job, reread, returned, start
from tests.support.clocks import Clock
from tests.support.factories import make_job_type, make_organization
from tests.support.tuning import Tuning
from tests.support.verbs import LANE_BEGIN, Interpose, Lane, LaneMark, LaneWalk

HOUR = dt.timedelta(hours=1)


class WallClock(Clock):
    #: By how many seconds this machine's clock is behind that of another one.
    behind: float = 0.0

    def time(self) -> float:
        return self.now - self.behind


@pytest.fixture(autouse=True)
def clock(broker: MemoryBroker, monkeypatch: pytest.MonkeyPatch, tuning: Tuning) -> WallClock:
    """The clock of walks, of which every whole one counts as slow; marks lie in the present. There is room for ten."""
    clock = WallClock()
    if not verbs.store().marks_lanes:
        pytest.skip("This store needs no marks.")
    tuning.set(
        lane_marks_clock=clock, lane_marks_slow_seconds=-1.0, lane_marks_slow_walks=1, lane_marks_margin_seconds=0
    )
    verbs.announce_worker("a-worker", ALL_QUEUES, slots=10)
    walk = verbs.store().lanes

    def slow_walk(plan: LaneWalk, count: int, marks: dict[Lane, LaneMark]) -> Any:
        is_whole = all(mark == LANE_BEGIN for mark in marks.values())
        clock.now += 0.1 if is_whole else 0.0
        return walk(plan, count, marks)

    monkeypatch.setattr(verbs.store(), "lanes", slow_walk)
    return clock


def saved() -> Any:
    """What the row of the lock has of the lanes."""
    return EngineLease.objects.get(pk="dispatcher").state.get(verbs.KEPT_LANES)


def dispatched(broker: MemoryBroker) -> list[int]:
    """The jobs that a pass queues, which are out of the way then."""
    verbs.dispatch()
    pks = [ticket.pk for ticket in broker.take_all()]
    Job.objects.filter(pk__in=pks).update(status=Status.CANCELED)
    return pks


def test_a_job_that_appears_behind_a_mark_waits_for_the_next_whole_walk(
    broker: MemoryBroker, kind: JobType, organization: Organization, clock: WallClock
) -> None:
    first = pending_job(kind, organization)
    assert dispatched(broker) == [first.pk]
    late = pending_job(kind, organization)
    Job.objects.filter(pk=late.pk).update(ready_at=late.created_at - HOUR)
    assert dispatched(broker) == []
    clock.now += verbs.MARK_BOUND_SECONDS
    assert dispatched(broker) == [late.pk]


@pytest.mark.parametrize("brought_lately", [False, True], ids=["late", "in time"])
def test_what_is_brought_late_behind_a_mark_goes_at_once(
    broker: MemoryBroker, organization: Organization, clock: WallClock, tuning: Tuning, brought_lately: bool
) -> None:
    tuning.set(delays_clock=clock)
    looked_at = clock.now
    first = pending_job(organization=organization)
    assert dispatched(broker) == [first.pk]
    clock.now = looked_at + verbs.LATE_SECONDS + (0.0 if brought_lately else 0.1)
    late = pending_job(first.job_type, organization)
    Job.objects.filter(pk=late.pk).update(ready_at=late.created_at - HOUR, is_delayed=True)
    assert dispatched(broker) == ([] if brought_lately else [late.pk])


def test_what_a_whole_walk_found_behind_a_mark_and_had_no_room_for_is_found_by_every_walk_then(
    broker: MemoryBroker, kind: JobType, organization: Organization, clock: WallClock
) -> None:
    pending_job(kind, organization)
    dispatched(broker)
    late = [pending_job(kind, organization) for _ in range(15)]
    Job.objects.filter(pk__in=[job.pk for job in late]).update(ready_at=late[0].created_at - HOUR)
    clock.now += verbs.MARK_BOUND_SECONDS
    assert [len(dispatched(broker)) for _ in range(3)] == [10, 5, 0]


def test_what_comes_after_a_mark_and_new_lanes_are_found_by_every_walk(
    broker: MemoryBroker, kind: JobType, organization: Organization
) -> None:
    pending_job(kind, organization)
    dispatched(broker)
    assert len(saved()["marks"]) == 1
    lanes = [(kind, organization), (make_job_type(), organization), (kind, make_organization())]
    jobs = [pending_job(*lane) for lane in lanes]
    jobs.append(pending_job(kind, organization, priority="Critical"))
    assert set(dispatched(broker)) == {job.pk for job in jobs}


def test_organizations_take_turns_from_marks_on_though_their_row_is_seldom_written(
    broker: MemoryBroker, kind: JobType, clock: WallClock
) -> None:
    organizations = [make_organization() for _ in range(15)]
    for organization in organizations:
        for _ in range(2):
            pending_job(kind, organization)
    served: list[int] = []
    written = set()
    for _ in range(3):
        served += dispatched(broker)
        written.add(str(EngineLease.objects.get(pk="dispatcher").state))
    of = dict(Job.objects.values_list("pk", "organization_id"))
    assert [of[pk] for pk in served] == 2 * [organization.pk for organization in organizations]
    assert len(written) == 1
    clock.now += verbs.MARK_SAVE_SECONDS
    verbs.dispatch()
    assert str(EngineLease.objects.get(pk="dispatcher").state) not in written


def test_starts_count_against_their_rate_though_the_row_is_seldom_written(
    broker: MemoryBroker, kind: JobType, organization: Organization
) -> None:
    pending_job(kind, organization)
    dispatched(broker)
    rated = make_job_type(max_starts=1, max_starts_window=3_600)
    jobs = [pending_job(rated, organization) for _ in range(2)]
    verbs.dispatch()
    end(returned(start(jobs[0])))
    verbs.dispatch()
    assert [reread(job).status for job in jobs] == ["Completed", "Pending"]


def test_another_process_goes_on_from_what_was_written(
    broker: MemoryBroker, kind: JobType, organization: Organization, clock: WallClock
) -> None:
    first = pending_job(kind, organization)
    dispatched(broker)
    verbs.forget_lane_marks()
    found = verbs.read_lane_marks(EngineLease.objects.get(pk="dispatcher").state)
    assert not found.is_whole
    assert [key[1].organization_pk for key in found.marks] == [first.organization_id]
    clock.now -= 2 * verbs.MARK_REST_SECONDS  # as on a machine whose clock is behind
    assert verbs.read_lane_marks(EngineLease.objects.get(pk="dispatcher").state).is_whole


def test_machines_whose_clocks_differ_write_the_row_as_seldom_as_one(
    broker: MemoryBroker, kind: JobType, organization: Organization, clock: WallClock
) -> None:
    written = set()
    for behind in (0.0, 0.6, 0.0, 0.6):
        clock.behind = behind
        pending_job(kind, organization)
        dispatched(broker)
        written.add(str(EngineLease.objects.get(pk="dispatcher").state))
    assert len(written) == 1


def test_the_lanes_from_which_most_was_taken_get_the_marks(broker: MemoryBroker, kind: JobType, tuning: Tuning) -> None:
    tuning.set(lane_marks_lanes=1)
    small, large = make_organization(), make_organization()
    for count, organization in ((1, small), (3, large)):
        for _ in range(count):
            pending_job(kind, organization)
    assert len(dispatched(broker)) == 4
    assert [mark[1] for mark in saved()["marks"]] == [str(large.pk)]


def test_where_whole_walks_are_fast_again_marks_are_forgotten(
    broker: MemoryBroker, kind: JobType, clock: WallClock, tuning: Tuning
) -> None:
    for _ in range(2):
        pending_job(kind)
    dispatched(broker)
    assert saved()
    tuning.set(lane_marks_slow_seconds=1.0)
    clock.now += verbs.MARK_BOUND_SECONDS
    dispatched(broker)
    assert saved() is None


def test_marks_that_make_no_walk_faster_are_forgotten_for_a_while(
    broker: MemoryBroker, kind: JobType, clock: WallClock, monkeypatch: pytest.MonkeyPatch, tuning: Tuning
) -> None:
    """Where walks are slow for another reason than dead entries."""
    walk = verbs.store().lanes

    def always_slow(plan: LaneWalk, count: int, marks: dict[Lane, LaneMark]) -> Any:
        began = clock.now
        found = walk(plan, count, marks)
        clock.now = began + 0.1
        return found

    def dispatch_one() -> None:
        pending_job(kind)
        dispatched(broker)

    monkeypatch.setattr(verbs.store(), "lanes", always_slow)
    tuning.set(lane_marks_save_seconds=0.0)
    dispatch_one()
    assert saved()["marks"]
    dispatch_one()
    assert saved()["marks"] == []
    for _ in range(3):
        dispatch_one()
        assert saved()["marks"] == []
    clock.now += verbs.MARK_REST_SECONDS
    dispatch_one()
    assert saved()["marks"]


def test_one_slow_walk_among_fast_ones_sets_no_marks(broker: MemoryBroker, kind: JobType, tuning: Tuning) -> None:
    tuning.set(lane_marks_slow_walks=3)
    for slow in (-1.0, -1.0, 1.0, -1.0, -1.0):
        tuning.set(lane_marks_slow_seconds=slow)
        pending_job(kind)
        dispatched(broker)
        assert saved() is None
    pending_job(kind)
    dispatched(broker)
    assert saved()


def test_a_pass_without_room_forgets_no_marks(
    broker: MemoryBroker, kind: JobType, clock: WallClock, tuning: Tuning
) -> None:
    for _ in range(11):
        pending_job(kind)
    verbs.dispatch()
    tuning.set(lane_marks_slow_seconds=1.0)
    clock.now += verbs.MARK_BOUND_SECONDS
    verbs.dispatch()
    assert saved()["marks"]


def test_what_is_slow_is_left_out_for_a_while(
    broker: MemoryBroker, kind: JobType, clock: WallClock, interpose: Interpose, tuning: Tuning
) -> None:
    tuning.set(slow_ways_clock=clock, short_way_slow_seconds=0.5)
    move = verbs.move

    def slowly(moves: Any, terms: Any) -> Any:
        clock.now += 1.0 if terms.only_if.sql else 0.0
        return move(moves, terms)

    interpose("move", slowly)
    before = clock.now
    for _ in range(3):
        assert verbs.dispatch_new(pending_job(kind)) == 1
    assert clock.now < before + 2


def test_a_process_whose_jobs_all_go_without_a_pass_notes_no_more_lanes_than_it_may(
    broker: MemoryBroker, kind: JobType, tuning: Tuning
) -> None:
    tuning.set(lane_marks_noted_lanes=2, short_way_slow_seconds=1e9)
    for _ in range(5):
        assert verbs.dispatch_new(pending_job(kind)) == 1
    assert 0 < len(backlog._taken) <= 2
