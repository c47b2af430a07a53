"""When an app's process tells live pages: where the host has a channel layer."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from django.apps import apps

from tests.support import verbs
from tests.support.verbs import LayerBroadcaster


@pytest.fixture(autouse=True)
def nobody_tells() -> Iterator[None]:
    before = verbs.get_broadcaster()
    verbs.use_broadcaster(None)
    yield
    verbs.use_broadcaster(before)


def test_live_pages_are_told_through_the_hosts_channel_layer_and_not_without_one(settings: Any) -> None:
    config: Any = apps.get_app_config("django_jobs")
    settings.CHANNEL_LAYERS = {}
    config._tell_live_pages()
    assert verbs.get_broadcaster() is None

    settings.CHANNEL_LAYERS = {"default": {"BACKEND": "channels.layers.InMemoryChannelLayer"}}
    config._tell_live_pages()
    assert isinstance(verbs.get_broadcaster(), LayerBroadcaster)
