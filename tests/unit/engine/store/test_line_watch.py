"""How long the other end of a line has been silent, and what is done about it."""

from __future__ import annotations

import socket
import sys
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from django_jobs.engine.store import chosen, line_watch
from django_jobs.engine.store.base.lines import Lines
from tests.support.waiting import wait_until

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells when it heard something last")


@pytest.fixture
def ends() -> Iterator[tuple[socket.socket, socket.socket]]:
    """Both ends of a TCP line."""
    with (
        socket.create_server(("127.0.0.1", 0)) as server,
        socket.create_connection(server.getsockname()) as near,
        server.accept()[0] as far,
    ):
        yield near, far


def test_silence_lasts_from_what_was_sent_to_the_answer(ends: tuple[socket.socket, socket.socket]) -> None:
    near, far = ends
    near.sendall(b"?")
    wait_until(lambda: line_watch._silence(near.fileno()) > 0.1, 5, "silence")
    far.sendall(b"!")
    wait_until(lambda: line_watch._silence(near.fileno()) == 0, 5, "the answer")


def test_who_was_asked_nothing_is_not_silent(ends: tuple[socket.socket, socket.socket]) -> None:
    near, far = ends
    near.sendall(b"?")
    wait_until(lambda: line_watch._silence(near.fileno()) > 0.1, 5, "silence")
    far.sendall(b"!")
    near.recv(1)
    wait_until(lambda: line_watch._silence(far.fileno()) > 0.1, 5, "the other end's silence")
    assert line_watch._silence(near.fileno()) == 0


@pytest.mark.parametrize("is_waiting", [True, False], ids=["the engine waits", "a handler may wait"])
def test_only_a_line_on_which_the_engine_waits_is_hung_up(
    ends: tuple[socket.socket, socket.socket], monkeypatch: pytest.MonkeyPatch, is_waiting: bool
) -> None:
    near, far = ends
    canceled: list[Any] = []
    connection = SimpleNamespace(connection=object(), alias="silent")

    class Silent(Lines):
        def line_of(self, connection: Any) -> int:
            return near.fileno()

        def end_statement(self, connection: Any, is_wanted: Callable[[], bool] = lambda: True) -> None:
            canceled.append(connection)

    store: Any = Silent()
    monkeypatch.setitem(chosen._chosen, "silent", store)
    monkeypatch.setattr(line_watch, "CANCEL_SECONDS", 0.1)
    line = line_watch._Line()
    line.connection, line.seconds = connection, 0.1 if is_waiting else None
    near.sendall(b"?")
    wait_until(lambda: line_watch._silence(near.fileno()) > 0.3, 5, "silence")

    for _ in range(2):
        line_watch._look_at(line)
    far.settimeout(0.2)
    far.recv(1)
    if is_waiting:
        wait_until(lambda: canceled == [connection], 5, "the cancel")
        assert far.recv(1) == b""
    else:
        with pytest.raises(TimeoutError):
            far.recv(1)
