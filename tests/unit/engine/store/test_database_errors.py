"""What an error of the database means, in whatever language it speaks."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import Error, IntegrityError, InterfaceError, InternalError, OperationalError

from django_jobs.engine.store import database


class DriverError(Exception):
    """As psycopg's errors carry a state, and mysqlclient's a number as their first argument."""

    def __init__(self, *args: Any, sqlstate: str | None = None) -> None:
        super().__init__(*args)
        if sqlstate:
            self.sqlstate = sqlstate


def caused(error: Error, cause: DriverError) -> Error:
    error.__cause__ = cause
    return error


def of_postgresql(kind: type[Error], state: str) -> Error:
    return caused(kind("FEHLER: ging nicht"), DriverError(sqlstate=state))


def of_mariadb(number: int) -> Error:
    return caused(OperationalError(number, "ging nicht"), DriverError(number, "ging nicht"))


@pytest.mark.parametrize(
    "error",
    [
        *(of_postgresql(OperationalError, state) for state in ("40P01", "40001", "55P03")),
        *(of_mariadb(number) for number in (1205, 1213, 1020)),
        OperationalError("database is locked"),
    ],
    ids=lambda error: repr(error.__cause__ and (getattr(error.__cause__, "sqlstate", None) or error.args[0])),
)
def test_who_found_another_transaction_in_the_way_lost_a_race_and_no_connection(error: Error) -> None:
    assert (database.is_lost_race(error), database.is_lost_connection(error)) == (True, False)


@pytest.mark.parametrize(
    "error",
    [
        of_postgresql(OperationalError, "57P01"),
        of_mariadb(2006),
        of_postgresql(InternalError, "25P03"),
        of_postgresql(InternalError, "25006"),
        OperationalError("a deadlock of another kind: the server closed the connection"),
        InterfaceError("connection already closed"),
    ],
    ids=["restart", "gone away", "idle too long", "read-only", "no code", "closed"],
)
def test_a_server_that_went_away_or_takes_no_writes_any_more_is_a_lost_connection(error: Error) -> None:
    assert (database.is_lost_race(error), database.is_lost_connection(error)) == (False, True)


@pytest.mark.parametrize(
    "error",
    [
        of_postgresql(IntegrityError, "23503"),
        of_postgresql(InternalError, "25P02"),
        OperationalError(1153, "Got a packet bigger than 'max_allowed_packet' bytes"),
        ZeroDivisionError(),
    ],
    ids=["foreign key", "failed transaction", "too large", "another error"],
)
def test_a_refusal_is_neither(error: Exception) -> None:
    assert (database.is_lost_race(error), database.is_lost_connection(error)) == (False, False)
