"""The engine's way to the database: which one, its clock, transactions, and connections that broke.

What depends on the vendor is the store's (:mod:`.chosen`).
"""

from __future__ import annotations

import contextlib
import dataclasses
import datetime as dt
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final, TypeVar

from django.db import Error, connections, transaction
from django.db.models import QuerySet

from django_jobs.conf import primary_alias
from django_jobs.engine.store.chosen import store

Q = TypeVar("Q", bound=QuerySet[Any])
T = TypeVar("T")

#: A moment that lies further ahead than it could be, by so much, was written before the database's clock was set back.
SET_BACK: Final = dt.timedelta(seconds=5)
#: Seconds after which a server hears of a transaction in which the host's code takes long.
HEARD_SECONDS: Final = 0.5


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


def locked(queryset: Q, *, skip: bool = False) -> Q:
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


def heard(items: Iterable[T]) -> Iterator[T]:
    """Yield the items, and let the server hear of an open transaction in between, where the host's code takes long.

    It ends one of which it hears nothing for half of LEASE_SECONDS, and would end each new try of the same as well.
    """
    last = time.monotonic()
    for item in items:
        yield item
        if time.monotonic() - last >= HEARD_SECONDS and connection().in_atomic_block:
            now()
            last = time.monotonic()


@contextlib.contextmanager
def savepoint() -> Iterator[None]:
    """Let statements of the host's that fail in the block undo no more than the block, where a transaction is open.

    Its own statements let the server hear of the transaction, as :func:`heard` does.
    """
    if not connection().in_atomic_block:
        yield
        return
    with transaction.atomic(using=alias()):
        yield


def goes_on_after(error: BaseException) -> bool:
    """Return whether all may go on as before after an error that left a :func:`savepoint`.

    Not where the connection broke, or the transaction did, or where that has to be tried again for a lost race.
    """
    item = connection()
    try:
        item.ensure_connection()
    except Error:
        return False
    return not is_lost_race(error) and not item.needs_rollback and bool(item.is_usable())


def on_commit(function: Callable[[], object]) -> None:
    """Call ``function`` once what was written is committed; never if it is not."""
    transaction.on_commit(function, using=alias(), robust=True)


@dataclasses.dataclass
class _Asked:
    """How often something was asked for in a transaction, and how many of the first of these times are served."""

    times: int = 0
    served: int = 0


def once_on_commit(
    function: Callable[[], object], *, alone: Callable[[], object] | None = None, using: str | None = None
) -> None:
    """Call ``function`` once what was written is committed; once for all who ask for it in one transaction.

    With ``alone``, that is called in its place where nobody else asked. Who asked in a savepoint that was rolled back
    counts as somebody else, but takes the call from nobody. ``using`` is the database; without it, that of jobs.
    """
    using = using or alias()
    asked = notes("asked", _none_asked, using)[function]
    asked.times += 1
    number = asked.times

    def call() -> None:
        if number > asked.served:
            is_alone = asked.times - asked.served == 1
            asked.served = asked.times
            (alone if alone is not None and is_alone else function)()

    transaction.on_commit(call, using=using, robust=True)


def _none_asked() -> dict[Callable[[], object], _Asked]:
    return defaultdict(_Asked)


def notes(name: str, make: Callable[[], T], using: str | None = None) -> T:
    """Return what is noted under a name of the outermost transaction that is open; made anew where none is open."""
    item: Any = connections[using or alias()]
    block = item.atomic_blocks[0] if item.atomic_blocks else None
    known: tuple[Any, T] | None = item.__dict__.get(f"django_jobs_{name}")
    if known is None or block is None or known[0] is not block:
        known = item.__dict__[f"django_jobs_{name}"] = (block, make())
    return known[1]


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
