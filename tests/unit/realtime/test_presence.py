"""Whether users may still be here is asked of each socket in its turn."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any
from unittest.mock import Mock

import pytest
from asgiref.sync import async_to_sync

from django_jobs.realtime import presence
from django_jobs.realtime.frames import REVOKED
from django_jobs.realtime.presence import Presence


class NobodyMayStay:
    """A database thread's answers."""

    async def read(self, function: Callable[..., Any], questions: Sequence[Any]) -> list[int]:
        return [REVOKED for _ in questions]


def test_each_socket_has_its_turn_however_many_are_due(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(presence, "SOCKETS_A_TICK", 1)
    thread: Any = NobodyMayStay()
    here, sockets = Presence(thread), [Mock() for _ in range(3)]
    for socket in sockets:
        here.enter(socket, 0.0)
    for _ in sockets:
        async_to_sync(here.recheck)(0.0)
    assert [socket.close.call_count for socket in sockets] == [1, 1, 1]
