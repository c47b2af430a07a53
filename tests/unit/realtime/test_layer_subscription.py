"""A process is in the layer's groups that somebody wants, also when the layer forgets or fails."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from types import SimpleNamespace

import pytest
from asgiref.sync import async_to_sync
from channels.layers import channel_layers

from django_jobs.realtime import hub
from tests.support.tuning import Tuning
from tests.support.verbs import FailureLog, LayerSubscription


class Layer:
    """Knows who is in its groups, or fails while it is broken."""

    def __init__(self) -> None:
        self.groups: set[str] = set()
        self.is_broken = False

    async def new_channel(self) -> str:
        return "channel"

    async def group_add(self, group: str, channel: str) -> None:
        if self.is_broken:
            raise ConnectionError
        self.groups.add(group)

    async def group_discard(self, group: str, channel: str) -> None:
        self.groups.discard(group)


@pytest.fixture
def layer() -> Iterator[Layer]:
    layer = Layer()
    channel_layers.set("default", layer)
    yield layer
    channel_layers.backends.clear()


@pytest.fixture
def clock(tuning: Tuning) -> SimpleNamespace:
    """The time of the subscription, which passes when the test says so."""
    clock = SimpleNamespace(now=100.0)
    tuning.set(broadcast_layer_clock=SimpleNamespace(monotonic=lambda: clock.now))
    return clock


@pytest.fixture
def wanted() -> set[str]:
    return {"a", "b"}


@pytest.fixture
def subscription(layer: Layer, clock: SimpleNamespace, wanted: set[str]) -> LayerSubscription:
    return LayerSubscription(lambda: set(wanted), FailureLog())


def opened(subscription: LayerSubscription) -> bool:
    return async_to_sync(subscription.open)()


def followed(subscription: LayerSubscription) -> bool:
    return async_to_sync(subscription.follow)()


def test_it_joins_the_groups_when_it_opens_and_says_so_once(subscription: LayerSubscription, layer: Layer) -> None:
    assert (opened(subscription), layer.groups) == (True, {"a", "b"})
    assert opened(subscription) is False


def test_it_leaves_what_is_no_longer_wanted_and_joins_what_is(
    subscription: LayerSubscription, layer: Layer, wanted: set[str]
) -> None:
    opened(subscription)
    wanted ^= {"a", "c"}
    followed(subscription)
    assert layer.groups == {"b", "c"}


def test_a_layer_that_forgot_is_told_again_after_some_seconds(
    subscription: LayerSubscription, layer: Layer, clock: SimpleNamespace
) -> None:
    opened(subscription)
    layer.groups.clear()
    followed(subscription)
    assert layer.groups == set()
    clock.now += hub.REFRESH_SECONDS
    followed(subscription)
    assert layer.groups == {"a", "b"}


def test_a_layer_that_failed_may_have_lost_something(
    subscription: LayerSubscription, layer: Layer, clock: SimpleNamespace, caplog: pytest.LogCaptureFixture
) -> None:
    opened(subscription)
    layer.is_broken = True
    clock.now += hub.REFRESH_SECONDS
    with caplog.at_level(logging.INFO, "django_jobs"):
        assert [followed(subscription), opened(subscription)] == [False, False]
        layer.is_broken = False
        assert [opened(subscription), opened(subscription)] == [True, False]
    assert caplog.text.count("event=live_progress_failing part=layer") == 1
    assert caplog.text.count("event=live_progress_works_again part=layer") == 1
