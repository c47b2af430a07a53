"""What notifications tell of waits to be read, if somebody listens to it."""

from __future__ import annotations

import asyncio
from typing import Any
from unittest.mock import Mock

import pytest
from asgiref.sync import async_to_sync

from tests.support.verbs import PendingEvents, RoomTarget, Subscription, Topic


@pytest.fixture
def topics() -> dict[str, Topic]:
    """In the first topic somebody listens to job 5, in the second one to all jobs."""
    topics = {"1": Topic("1", 1), "2": Topic("2", 2)}
    socket: Any = Mock()
    topics["1"].add(Subscription(socket, RoomTarget("job:5", 1, 5)))
    topics["2"].add(Subscription(socket, RoomTarget("org:B", 2)))
    return topics


def pending(topics: dict[str, Topic], *notifications: dict[str, Any]) -> PendingEvents:
    events = PendingEvents()
    for notification in notifications:
        events.add(notification, lambda key: [topics[key]] if key in topics else [])
    return events


def test_jobs_that_nobody_listens_to_are_left_out(topics: dict[str, Topic]) -> None:
    changes = {"1": [[10, 5], [11, 6]], "2": [[12, 7]], "3": [[13, 8]]}
    events = pending(topics, {"changes": changes, "progress": {"1": [5, 6], "2": [7], "3": [8]}})
    assert events.take() == ({"1": {10: 5}, "2": {12: 7}}, {"progress": {5, 7}})


def test_several_notifications_are_read_together_and_once(topics: dict[str, Topic]) -> None:
    events = pending(topics, {"changes": {"2": [[12, 7]]}}, {"changes": {"2": [[13, 8]]}, "progress": {"2": [8]}})
    assert events.is_filled.is_set()
    assert events.take() == ({"2": {12: 7, 13: 8}}, {"progress": {8}})
    assert not events.is_filled.is_set()
    assert events.take() == ({}, {})


def test_a_kind_of_event_that_this_process_does_not_know_is_passed_over(topics: dict[str, Topic]) -> None:
    assert pending(topics, {"of another release": {"2": [8]}}).take() == ({}, {})


def test_a_batch_that_was_taken_just_now_waits_for_the_end_of_its_pause() -> None:
    @async_to_sync
    async def taken() -> list[Any]:
        events, found = PendingEvents(), []
        for pk in (7, 7, 8):
            events.add_batch(pk)
            found.append(events.take()[1])
        await asyncio.wait_for(events.is_filled.wait(), 60)
        return [*found, events.take()[1]]

    assert taken() == [{"batch": {7}}, {}, {"batch": {8}}, {"batch": {7}}]
