"""A worker's connections notice a silent server, and the server notices a worker that is gone."""

from __future__ import annotations

import contextlib
import os
import socket
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from django.db import OperationalError, connection, connections
from django.db.backends.signals import connection_created

from tests.support import verbs
from tests.support.tuning import Tuning
from tests.support.waiting import wait_until

pytestmark = pytest.mark.django_db(transaction=True)
on_postgresql = pytest.mark.skipif(connection.vendor != "postgresql", reason="only this server looks")


@pytest.fixture
def options(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The options of the test's database, put back afterwards."""
    config = connections.settings["default"]
    monkeypatch.setitem(config, "OPTIONS", dict(config["OPTIONS"]))
    found: dict[str, Any] = config["OPTIONS"]
    return found


@pytest.fixture
def prepared(options: dict[str, Any]) -> Iterator[Any]:
    """A connection as a worker's."""
    verbs.prepare_worker_line()
    try:
        with contextlib.closing(connection.copy()) as made:
            made.settings_dict["OPTIONS"] = options
            made.ensure_connection()
            yield made
    finally:
        connection_created.disconnect(dispatch_uid="django_jobs.worker_lines")


@pytest.mark.skipif(connection.vendor == "sqlite", reason="there is no line to a file")
def test_a_silent_server_is_probed_after_seconds(prepared: Any) -> None:
    with socket.socket(fileno=os.dup(prepared.connection.fileno())) as line:
        assert line.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
        names = (socket.TCP_KEEPIDLE, socket.TCP_KEEPINTVL, socket.TCP_KEEPCNT, socket.TCP_USER_TIMEOUT)
        assert [line.getsockopt(socket.IPPROTO_TCP, name) for name in names] == [5, 2, 3, 11_000]


@on_postgresql
def test_the_server_looks_whether_a_worker_still_is_there(prepared: Any) -> None:
    with prepared.cursor() as cursor:
        cursor.execute("SHOW client_connection_check_interval")
        assert cursor.fetchone() == ("2s",)


@on_postgresql
def test_a_connection_to_a_server_that_cannot_look_is_fit(prepared: Any, tuning: Tuning) -> None:
    tuning.set(server_look="SELECT set_config('no_such_setting', '2s', false) WHERE %s > 0")
    verbs.store_of("default").prepare_for_worker(prepared)
    assert not prepared.errors_occurred
    assert prepared.is_usable()


def test_what_the_host_says_about_its_lines_stays(options: dict[str, Any]) -> None:
    options |= dict.fromkeys(verbs.store_of("default").worker_options(), 77)
    before = dict(options)
    verbs.prepare_worker_line()
    connection_created.disconnect(dispatch_uid="django_jobs.worker_lines")
    assert options == before


def test_a_connection_that_is_none_of_the_settings_is_left_alone(prepared: Any) -> None:
    """Django makes such a one, ``__no_db__``, where it asks a server about its databases."""
    with contextlib.closing(connection.copy("__no_db__")) as other:
        other.ensure_connection()
        assert other.is_usable()


@pytest.mark.skipif(connection.vendor != "mysql", reason="only there a statement has to be looked for")
def test_a_statement_that_is_wanted_no_more_once_it_is_found_is_left_alone(prepared: Any) -> None:
    asked: list[int] = []

    def ask() -> None:
        with contextlib.suppress(OperationalError), prepared.cursor() as cursor:
            cursor.execute("SELECT SLEEP(60)")

    def is_wanted() -> bool:
        asked.append(1)
        return False

    def is_found() -> bool:
        verbs.store_of("default").end_statement(prepared, is_wanted)
        return bool(asked)

    prepared.inc_thread_sharing()
    thread = threading.Thread(target=ask)
    thread.start()
    wait_until(is_found, 10, "the statement")
    assert thread.is_alive()

    verbs.store_of("default").end_statement(prepared)
    thread.join(10)
    assert not thread.is_alive()
