"""The connections that a handler leaves behind: fit for the next job, and never the end of the worker."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.db import Error, OperationalError, connection, connections, transaction

from django_jobs.exceptions import JobCanceled
from tests.support import verbs
from tests.support.attempts import outcome_of, raising
from tests.support.brokers import running_job
from tests.support.verbs import outcomes

# Real transactions, since the engine closes a connection whose transaction a handler left open.
pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("broker")]


def is_away(parameters: Any) -> Any:
    raise OperationalError("connection refused")


@pytest.fixture
def leave(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Call it, and the database takes no new connection."""
    return lambda: monkeypatch.setattr(connections["default"], "get_new_connection", is_away)


@pytest.fixture
def other(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """The connection to a second database of the host's."""
    monkeypatch.setitem(connections.settings, "other", {**connection.settings_dict})
    yield connections["other"]
    connections["other"].close()
    del connections["other"]


def test_a_transaction_that_a_handler_left_open_is_undone() -> None:
    def handler(context: Any) -> None:
        transaction.atomic().__enter__()

    outcome_of(handler)
    assert not connection.in_atomic_block
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")
        assert cursor.fetchone() == (1,)


def test_switched_off_autocommit_is_switched_on_again() -> None:
    def handler(context: Any) -> None:
        transaction.set_autocommit(False)

    outcome_of(handler)
    assert transaction.get_autocommit()


def test_a_closed_connection_is_no_trouble() -> None:
    assert isinstance(outcome_of(lambda _: connection.close()), outcomes.Returned)
    assert running_job()


def test_a_connection_that_was_closed_behind_djangos_back_is_dropped_and_made_anew() -> None:
    connection.ensure_connection()
    connection.connection.close()
    verbs.drop_connections()
    assert running_job()


def test_a_connection_that_was_closed_in_a_transaction_left_open_is_made_anew() -> None:
    def handler(context: Any) -> None:
        transaction.atomic().__enter__()
        connection.close()

    outcome_of(handler)
    assert running_job()


def test_a_handler_may_close_its_connection_though_the_database_is_away_when_it_ends(
    leave: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    def handler(context: Any) -> None:
        connection.close()
        leave()

    assert isinstance(outcome_of(handler), outcomes.Returned)
    monkeypatch.undo()
    assert running_job()


def test_a_handler_whose_transaction_ends_with_the_database_has_failed(
    leave: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    def handler(context: Any) -> None:
        with transaction.atomic():
            leave()
            connection.connection.close()
            running_job()

    outcome = outcome_of(handler)
    assert isinstance(outcome, outcomes.Raised)
    assert outcome.kind == "Transient"
    monkeypatch.undo()
    assert running_job()


def test_a_handler_that_asks_another_database_which_is_down_has_failed(
    other: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(other, "get_new_connection", is_away)
    outcome = outcome_of(lambda _: other.cursor())
    assert isinstance(outcome, outcomes.Raised)
    assert outcome.kind == "Transient"


@pytest.mark.parametrize("error", [Error("lost"), RuntimeError("The pool is closed")], ids=repr)
def test_a_connection_that_cannot_be_closed_neither_ends_the_worker_nor_keeps_the_others_from_being_closed(
    other: Any, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    other.connect()
    left: list[Any] = []

    def handler(context: Any) -> None:
        left.append(connection.connection)
        # no public way: it is what the driver does that fails
        monkeypatch.setattr(connections["default"], "_close", raising(error))
        raise JobCanceled

    assert isinstance(outcome_of(handler), outcomes.Canceled)
    monkeypatch.undo()
    left[0].close()
    assert other.connection is None
    assert running_job()
