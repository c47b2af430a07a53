"""Whether users may still be here is asked of each socket in its turn."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any
from unittest.mock import Mock

from asgiref.sync import async_to_sync

from django_jobs.realtime.hub import Presence
from django_jobs.realtime.protocol import REVOKED
from django_jobs.realtime.rooms import SocketRights as Rights
from tests.support.tuning import Tuning
from tests.support.verbs import RoomTarget

A, B, LATER = RoomTarget("org:A", 1), RoomTarget("org:B", 2), RoomTarget("org:C", 3)


class NobodyMayStay:
    """A database thread's answers."""

    async def read(self, function: Callable[..., Any], questions: Sequence[Any]) -> list[int]:
        return [REVOKED for _ in questions]


def test_each_socket_has_its_turn_however_many_are_due(tuning: Tuning) -> None:
    tuning.set(sockets_a_tick=1)
    thread: Any = NobodyMayStay()
    here, sockets = Presence(thread), [Mock() for _ in range(3)]
    for socket in sockets:
        here.enter(socket, 0.0)
    for _ in sockets:
        async_to_sync(here.recheck)(0.0)
    assert [socket.close.call_count for socket in sockets] == [1, 1, 1]


class Rechecks:
    """A database thread's answers: the user as read again, who may listen to nothing but B."""

    def __init__(self, user: object) -> None:
        self.user = user

    async def read(self, function: Callable[..., Any], questions: Sequence[Any]) -> list[Rights]:
        return [Rights(self.user, set(targets), {B} & set(targets)) for _, targets in questions]


def test_a_socket_goes_on_with_the_user_and_the_targets_that_hold_now() -> None:
    user = object()
    thread: Any = Rechecks(user)
    here, socket = Presence(thread), Mock()
    socket.targets.side_effect = [[A, B], [A, B, LATER]]  # joined while the database was asked
    here.enter(socket, 0.0)
    started = time.monotonic()
    async_to_sync(here.recheck)(10.0)
    assert started + 8 <= socket.recheck_at <= time.monotonic() + 10
    assert socket.user is user
    assert [call.args for call in socket.revoke.call_args_list] == [(A,)]
