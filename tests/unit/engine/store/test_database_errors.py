"""What an error of the database means, in whatever language it speaks."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import Error, IntegrityError, InterfaceError, InternalError, OperationalError

from django_jobs.engine.store.postgresql_moves import PostgreSQLStore
from tests.support.verbs import MariaDBStore, SQLiteStore, Store


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


def kind_of(kind: type[Store], error: BaseException) -> tuple[bool, bool]:
    """Whether it is a lost race, and whether it is a lost connection."""
    store = kind("default")
    return store.is_lost_race(error), store.is_lost_connection(error)


def test_who_found_another_transaction_in_the_way_lost_a_race_and_no_connection(subtests: pytest.Subtests) -> None:
    cases: list[tuple[type[Store], Error]] = [
        *(
            (kind, of_postgresql(OperationalError, state))
            for kind in (PostgreSQLStore, Store)
            for state in ("40P01", "40001", "55P03")
        ),
        *((MariaDBStore, of_mariadb(number)) for number in (1205, 1213, 1020)),
        (SQLiteStore, OperationalError("database is locked")),
    ]
    for kind, error in cases:
        with subtests.test(kind=kind, error=error):
            assert kind_of(kind, error) == (True, False)


def test_a_server_that_went_away_or_takes_no_writes_any_more_is_a_lost_connection(subtests: pytest.Subtests) -> None:
    cases: list[tuple[type[Store], Error]] = [
        (PostgreSQLStore, of_postgresql(OperationalError, "57P01")),
        (PostgreSQLStore, of_postgresql(InternalError, "25P03")),
        (PostgreSQLStore, of_postgresql(InternalError, "25006")),
        (Store, of_postgresql(OperationalError, "57P01")),
        (MariaDBStore, of_mariadb(2006)),
        (SQLiteStore, OperationalError("unable to open database file")),
        (PostgreSQLStore, OperationalError("a deadlock of another kind: the server closed the connection")),
        (PostgreSQLStore, InterfaceError("connection already closed")),
    ]
    for kind, error in cases:
        with subtests.test(kind=kind, error=error):
            assert kind_of(kind, error) == (False, True)


def test_a_refusal_is_neither(subtests: pytest.Subtests) -> None:
    cases: list[tuple[type[Store], Exception]] = [
        (PostgreSQLStore, of_postgresql(IntegrityError, "23503")),
        (PostgreSQLStore, of_postgresql(InternalError, "25P02")),
        (MariaDBStore, OperationalError(1153, "Got a packet bigger than 'max_allowed_packet' bytes")),
        (Store, ZeroDivisionError()),
    ]
    for kind, error in cases:
        with subtests.test(kind=kind, error=error):
            assert kind_of(kind, error) == (False, False)
