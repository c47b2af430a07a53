"""Rooms come and go in a topic, and a subscription tells what happens while its client catches up."""

from __future__ import annotations

from typing import Any
from unittest.mock import Mock

import pytest

from django_jobs.realtime.events import BATCH_PROGRESS
from django_jobs.realtime.topics import Seen
from tests.support.tuning import Tuning
from tests.support.verbs import STATUS_CHANGED, RealtimeEvent, RoomTarget, Subscription, Topic

WHOLE = RoomTarget("org:A", 1)
JOB = RoomTarget("job:5", 1, 5)
BATCH = RoomTarget("batch:7", 1, batch_pk=7)
OTHER_JOB = RoomTarget("job:6", 1, 6)


@pytest.fixture
def topic() -> Topic:
    return Topic("1", 1)


def subscribe(topic: Topic, target: RoomTarget) -> Subscription:
    socket: Any = Mock()
    subscription = Subscription(socket, target)
    subscription.go_live(set())
    topic.add(subscription)
    return subscription


def told(subscription: Subscription) -> list[str]:
    socket: Any = subscription.socket
    return [call.args[0] for call in socket.put.call_args_list]


def deliver(topic: Topic, job: int, number: int) -> None:
    topic.deliver(RealtimeEvent(STATUS_CHANGED, 1, job, "{}", id=number), ())


def test_who_stays_hears_on_when_others_leave_their_rooms(topic: Topic) -> None:
    whole, gone, kept = (subscribe(topic, target) for target in (WHOLE, JOB, OTHER_JOB))
    topic.remove(gone)
    deliver(topic, 5, 1)
    deliver(topic, 6, 2)
    assert [len(told(item)) for item in (whole, gone, kept)] == [2, 0, 1]
    topic.remove(whole)
    deliver(topic, 5, 3)
    deliver(topic, 6, 4)
    assert [len(told(item)) for item in (whole, gone, kept)] == [2, 0, 2]


def test_of_two_in_a_room_one_may_leave(topic: Topic) -> None:
    gone, kept = subscribe(topic, JOB), subscribe(topic, JOB)
    topic.remove(gone)
    topic.remove(gone)
    deliver(topic, 5, 1)
    assert [len(told(item)) for item in (gone, kept)] == [0, 1]


def test_a_topic_includes_the_jobs_that_somebody_listens_to(topic: Topic) -> None:
    job = subscribe(topic, JOB)
    assert (topic.includes(5), topic.includes(6)) == (True, False)
    subscribe(topic, WHOLE)
    topic.remove(job)
    assert (topic.includes(5), topic.includes(6)) == (True, True)


def test_what_happens_during_the_catch_up_is_told_after_it_unless_it_was_part_of_it() -> None:
    socket: Any = Mock()
    subscription = Subscription(socket, WHOLE)
    for number in (7, 8, 9):
        subscription.deliver(number, str(number))
    assert told(subscription) == []
    subscription.go_live({8})
    subscription.deliver(10, "10")
    assert told(subscription) == ["7", "9", "10"]


def test_the_events_of_one_job_are_told_in_order_and_once(topic: Topic) -> None:
    job, whole = subscribe(topic, JOB), subscribe(topic, WHOLE)
    for number in (8, 7, 8, 9):
        deliver(topic, 5, number)
    assert (len(told(job)), len(told(whole))) == (2, 4)


def test_a_job_is_told_to_none_in_any_room_from_whom_it_is_hidden(topic: Topic) -> None:
    rooms = [subscribe(topic, target) for target in (WHOLE, WHOLE, JOB, JOB)]
    for number, subscription in enumerate(rooms):
        subscription.socket.user.pk = number % 2
    topic.deliver(RealtimeEvent(STATUS_CHANGED, 1, 5, "{}", id=1), {(0, 5), (1, 6)})
    assert [len(told(item)) for item in rooms] == [0, 1, 0, 1]


def test_what_is_passed_over_is_told_to_rooms_of_jobs_and_read_no_more(topic: Topic) -> None:
    rooms = [subscribe(topic, target) for target in (WHOLE, JOB, BATCH)]
    topic.pass_over([9, 7])
    assert ([len(told(item)) for item in rooms], topic.floor) == ([1, 1, 0], 9)


def test_only_the_latest_keys_are_remembered(tuning: Tuning) -> None:
    tuning.set(remembered_events=2)
    seen: Seen[int] = Seen()
    assert [seen.add(number) for number in (1, 2, 1, 3)] == [True, True, False, True]
    assert seen.unseen([1, 2, 3]) == [1]


def test_of_a_batch_only_its_own_room_hears(topic: Topic) -> None:
    whole, batch = subscribe(topic, WHOLE), subscribe(topic, BATCH)
    topic.deliver(RealtimeEvent(BATCH_PROGRESS, 1, 0, "{}", batch_pk=7), ())
    topic.deliver(RealtimeEvent(BATCH_PROGRESS, 1, 0, "{}", batch_pk=8), ())
    deliver(topic, 7, 1)
    assert [len(told(item)) for item in (whole, batch)] == [1, 1]


def test_who_listens_to_a_batch_wants_events_of_it_and_of_no_job(topic: Topic) -> None:
    subscription = subscribe(topic, BATCH)
    assert (topic.wants("batch", 7), topic.wants("batch", 8), topic.wants("progress", 7)) == (True, False, False)
    topic.remove(subscription)
    assert not topic.wants("batch", 7)


def test_a_batch_is_outdated_until_its_last_event_says_the_same(topic: Topic) -> None:
    room = subscribe(topic, BATCH)
    now = RealtimeEvent(BATCH_PROGRESS, 1, 0, '{"progress": 5}', batch_pk=7)
    assert topic.outdated([now]) == [7]
    topic.deliver(now, ())
    assert topic.outdated([now]) == []
    topic.remove(room)
    subscribe(topic, BATCH)
    assert topic.outdated([now]) == [7]
