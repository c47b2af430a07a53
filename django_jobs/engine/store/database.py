"""The engine's way to the database: which one, its clock, transactions, and connections that broke.

What depends on the vendor is the store's (:mod:`.chosen`).
"""

from __future__ import annotations

import contextlib
import datetime as dt
from collections.abc import Callable
from typing import Any, TypeVar

from django.db import Error, connections, transaction
from django.db.models import QuerySet

from django_jobs.conf import primary_alias
from django_jobs.engine.store.chosen import store

T = TypeVar("T")


def alias() -> str:
    """Return the alias of the database that holds jobs; reads go there too, since the row is the truth."""
    return primary_alias()


def rows(model: type[Any]) -> QuerySet[Any]:
    """Return all rows of a model of the host's, such as the tenant's, as they are where jobs are written."""
    found: QuerySet[Any] = model._default_manager.using(alias())
    return found


def connection() -> Any:
    """Return this thread's connection to the database that holds jobs."""
    return connections[alias()]


def clock(field: Any) -> tuple[str, list[Any]]:
    """Return the moment of a statement as SQL, with its parameters, to be written into ``field``."""
    return store().clock(field)


def now() -> dt.datetime:
    """Return the database's time, aware, in UTC."""
    return store().now()


def locked(queryset: QuerySet[Any], *, skip: bool = False) -> QuerySet[Any]:
    """Return the rows, to be locked in ascending primary key; with ``skip``, without those that somebody else holds."""
    return store().locked(queryset, skip=skip)


def in_transaction(function: Callable[[], T]) -> T:
    """Run ``function`` in a transaction; again when it lost a race. Inside a caller's transaction: once."""
    return store().in_transaction(function)


def retried(function: Callable[[], T]) -> T:
    """Run what is one statement or one transaction; again when it lost a race. Inside a caller's transaction: once."""
    return store().retried(function)


def is_lost_connection(error: BaseException) -> bool:
    """Return whether the database went away, so that the same call may succeed later."""
    return store().is_lost_connection(error)


def is_lost_race(error: BaseException) -> bool:
    """Return whether another transaction was in the way (deadlock, lock timeout), so that a new try is right."""
    return store().is_lost_race(error)


def was_too_slow(error: BaseException) -> bool:
    """Return whether the database ended a statement that took too long. It answers; only this call has to wait."""
    return store().was_too_slow(error)


def on_commit(function: Callable[[], object]) -> None:
    """Call ``function`` once what was written is committed; never if it is not."""
    transaction.on_commit(function, using=alias(), robust=True)


def mend_connections() -> None:
    """Close what broke in this thread, so that its next use connects anew.

    Not Django's ``close_old_connections``: with the default CONN_MAX_AGE of 0 that would connect for every set. And
    whatever failed goes, though it may answer: behind an address that moved it reaches a server that only reads.
    """
    for item in connections.all(initialized_only=True):
        if item.errors_occurred and item.connection is not None and not item.in_atomic_block:
            drop(item)


def drop_connections() -> None:
    """Close this thread's connections, so that their next use connects anew."""
    for item in connections.all(initialized_only=True):
        drop(item)


def drop(item: Any) -> None:
    """Close a connection in whatever state it is: mysqlclient refuses to close one that is closed already."""
    with contextlib.suppress(Error):
        item.close()
