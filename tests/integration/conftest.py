from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.support.live import HandBell


@pytest.fixture
def bell() -> Iterator[HandBell]:
    """A channel layer in memory, and a broadcaster that sends when the test rings."""
    from channels.layers import InMemoryChannelLayer, channel_layers

    from django_jobs.engine.ports import use_broadcaster
    from tests.support.live import HandBell

    channel_layers.set("default", InMemoryChannelLayer())
    bell = HandBell()
    use_broadcaster(bell)
    yield bell
    use_broadcaster(None)
    channel_layers.backends.clear()
