"""Each event reaches those who listen once, whichever tasks have read it."""

from __future__ import annotations

import gc
from collections.abc import Callable, Mapping
from types import SimpleNamespace
from typing import Any
from unittest.mock import Mock

import pytest
from asgiref.sync import async_to_sync

from django_jobs.engine.memory import Memory
from django_jobs.realtime import hub
from django_jobs.realtime.events import PROGRESS
from django_jobs.realtime.hub import FanOut, hidden_from
from django_jobs.realtime.rooms import UserAndJob
from django_jobs.realtime.topics import EVERYBODY
from tests.support.tuning import Tuning
from tests.support.verbs import STATUS_CHANGED, RealtimeEvent, RoomTarget, Subscription, Topic


class Stage:
    """Topics of two organizations and of everybody, each with one room and one socket in it."""

    def __init__(self, read: Any = None) -> None:
        self.topics: dict[str, Topic] = {}
        self.sockets = {key: Mock() for key in ("1", "2", EVERYBODY)}
        for key, socket in self.sockets.items():
            organization = int(key) if key else None
            self.topics[key] = Topic(key, organization)
            self.join(key, socket)
        thread: Any = Mock(read=read)
        self.fan_out = FanOut(self.topics, thread)

    def join(self, key: str, socket: Mock) -> None:
        organization = self.topics[key].organization_pk
        subscription = Subscription(socket, RoomTarget(f"org:{key}" if key else "admin:jobs", organization))
        subscription.go_live(set())
        self.topics[key].add(subscription)

    def deliver(self, *events: RealtimeEvent) -> None:
        async_to_sync(self.fan_out.deliver)(events)

    def heard(self, key: str) -> list[str]:
        """The data of the frames that the socket of this topic was sent."""
        return [call.args[0].rpartition('"data": ')[2].rstrip("}") for call in self.sockets[key].put.call_args_list]


@pytest.fixture
def stage() -> Stage:
    return Stage()


def change(number: int, organization: int = 1, **fields: Any) -> RealtimeEvent:
    return RealtimeEvent(
        STATUS_CHANGED, organization, 5, str(number), id=number, organization=str(organization), **fields
    )


def progress(data: str, organization: int = 1, attempt: int | None = None) -> RealtimeEvent:
    filled = (5, attempt) if attempt is not None else None
    return RealtimeEvent(PROGRESS, organization, 5, data, organization=str(organization), filled=filled)


def test_an_event_that_a_poll_and_a_notification_have_read_is_told_once(stage: Stage) -> None:
    stage.deliver(change(7))
    stage.deliver(change(7), change(8))
    assert stage.heard("1") == stage.heard(EVERYBODY) == ["7", "8"]


def test_an_organizations_events_are_told_to_its_own_topic_and_to_everybodys(stage: Stage) -> None:
    stage.deliver(change(7, organization=1), progress("40", organization=2))
    assert [stage.heard(key) for key in ("1", "2", EVERYBODY)] == [["7"], ["40"], ["7", "40"]]


def test_progress_is_told_as_often_as_it_is_read(stage: Stage) -> None:
    stage.deliver(progress("40"))
    stage.deliver(progress("40"))
    assert stage.heard("1") == ["40", "40"]


def test_each_attempt_is_shown_at_100_percent_once(stage: Stage) -> None:
    stage.deliver(progress("100", attempt=1))
    stage.deliver(change(7, before=progress("100", attempt=1)), change(8, before=progress("100 again", attempt=2)))
    assert stage.heard("1") == ["100", "7", "100 again", "8"]


class Policy:
    """Answers for (user, job) pairs, and how often each was asked."""

    def __init__(self) -> None:
        self.hides: set[UserAndJob] = set()
        self.asked: list[UserAndJob] = []
        #: What happens while it is asked.
        self.meanwhile: Callable[[], None] = lambda: None

    async def read(self, function: Any, wanted: Mapping[UserAndJob, Any]) -> dict[UserAndJob, bool]:
        self.asked += wanted
        self.meanwhile()
        return {pair: pair not in self.hides for pair in wanted}


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch, tuning: Tuning) -> SimpleNamespace:
    """The time of the cache, which passes when the test says so."""
    clock = SimpleNamespace(now=100.0)
    tuning.set(visibility_clock=SimpleNamespace(monotonic=lambda: clock.now))
    monkeypatch.setattr(hub, "may_hide_jobs", lambda: True)
    return clock


def test_an_answer_of_the_policy_is_kept_for_some_seconds_and_then_asked_again(clock: SimpleNamespace) -> None:
    policy = Policy()
    mine, yours, other = (1, 5), (2, 5), (1, 6)

    def hidden() -> set[UserAndJob]:
        return set(async_to_sync(hidden_from)(policy.read, lambda: dict.fromkeys([mine, yours, other])))

    policy.hides = {yours}
    assert hidden() == {yours}
    policy.hides = {mine}
    clock.now += hub.ANSWER_SECONDS - 0.1
    assert hidden() == {yours}
    assert policy.asked == [mine, yours, other]
    clock.now += 0.2
    assert hidden() == {mine}
    assert policy.asked == [mine, yours, other] * 2


def test_an_event_is_told_to_nobody_from_whom_its_job_is_hidden(clock: SimpleNamespace) -> None:
    for refused, others in (("1", EVERYBODY), (EVERYBODY, "1")):
        policy = Policy()
        stage = Stage(policy.read)
        policy.hides = {(stage.sockets[refused].user.pk, 5)}
        stage.deliver(change(7))
        assert (stage.heard(refused), stage.heard(others)) == ([], ["7"])


def test_an_event_is_not_told_to_who_joins_while_the_policy_is_asked_if_its_job_is_hidden(
    clock: SimpleNamespace,
) -> None:
    policy, late = Policy(), Mock()
    stage = Stage(policy.read)
    policy.hides = {(late.user.pk, 5)}
    policy.meanwhile = lambda: stage.join("1", late)
    stage.deliver(change(7))
    assert (stage.heard("1"), late.put.called) == (["7"], False)


def test_what_was_remembered_for_sockets_does_not_pile_up_as_they_come_and_go() -> None:
    def memories() -> int:
        gc.collect()
        return sum(isinstance(item, Memory) for item in gc.get_objects())

    before = memories()
    Stage()
    assert memories() == before
