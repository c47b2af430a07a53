"""How many websockets a user has open, in all processes together.

Each user has a fixed number of places, whose keys are computed. The table's primary key sees to it that a place is
taken once, however many connect at the same moment. A process renews all of its places in one statement. Those of a
process that died are free again a good minute later.
"""

from __future__ import annotations

import datetime as dt
import functools
import random
import uuid
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from django.db.models import QuerySet

from django_jobs.engine.store import database
from django_jobs.models import OpenSocket

SOCKETS_A_USER: Final = 20
RENEW_SECONDS: Final = 20.0
#: A place that was not renewed for so long is free.
FREE_AFTER: Final = dt.timedelta(seconds=70)
#: Rows of processes that died are of no use to anybody.
FORGOTTEN_AFTER: Final = dt.timedelta(minutes=10)
BATCH: Final = 1_000

_NAMESPACE: Final = uuid.UUID("6a1f4c2e-3d0b-5c8e-9a57-1f2f6f0c7d11")


@dataclass(slots=True, eq=False)
class Place:
    """The right of one socket to be open. Where another process took its row over, it may get another one."""

    user_pk: Any
    id: uuid.UUID


class Places:
    """Those that one process holds. Used by one thread, which may use the database."""

    def __init__(self) -> None:
        self.process = uuid.uuid4()
        self._held: dict[uuid.UUID, Place] = {}
        self._given_back: deque[Place] = deque()

    def take(self, user_pk: Any) -> Place | None:
        """Return a place for one more socket of this user; None when the user has as many as there may be."""
        return self.take_all([user_pk])[0]

    def take_all(self, user_pks: Sequence[Any]) -> list[Place | None]:
        """Return for each of these a place for one more socket of this user, or None, as :meth:`take` does.

        One statement asks for places that this process does not hold. Only who finds that another process has that
        place looks for a free one.
        """
        self.release()
        keys = self._choose(user_pks)
        taken = _insert({key: pk for key, pk in zip(keys, user_pks, strict=True) if key is not None}, self.process)
        new = {key: Place(pk, key) for key, pk in zip(keys, user_pks, strict=True) if key in taken}
        found: list[Place | None] = []
        for key, pk in zip(keys, user_pks, strict=True):
            other = key if key is None or key in taken else self._take(pk, new)
            found.append(None if other is None else new.setdefault(other, Place(pk, other)))
        self._held |= new  # not before all is done: who is interrupted begins anew
        return found

    def _choose(self, user_pks: Sequence[Any]) -> list[uuid.UUID | None]:
        """Choose for each of these a key of the user's; None where this process holds them all."""
        free: dict[Any, list[uuid.UUID]] = {pk: self._free(pk) for pk in set(user_pks)}
        return [free[pk].pop() if free[pk] else None for pk in user_pks]

    def _free(self, user_pk: Any, new: Iterable[uuid.UUID] = ()) -> list[uuid.UUID]:
        """Return the keys that this process does not hold, in random order: who connect at the same moment seldom want
        the same one.
        """
        free = list(set(_keys(user_pk)) - self._held.keys() - set(new))
        random.shuffle(free)
        return free

    def _take(self, user_pk: Any, new: Iterable[uuid.UUID] = ()) -> uuid.UUID | None:
        """Take a place that nobody has. ``new`` are the keys of those that this process is just taking."""
        rows = _rows().filter(user_id=user_pk).values_list("id", "process", "seen_at")
        taken = {key: (process, seen_at) for key, process, seen_at in rows}
        now = database.now()
        for key in self._free(user_pk, new):
            process, seen_at = taken.get(key, (None, now))
            if process is None:
                is_mine = bool(_insert({key: user_pk}, self.process))
            elif process == self.process:  # taken before, and the answer was lost
                is_mine = True
            elif seen_at < now - FREE_AFTER:
                stale = _rows().filter(pk=key, seen_at=seen_at)
                is_mine = bool(database.retried(functools.partial(stale.update, process=self.process, seen_at=now)))
            else:
                continue
            if is_mine:
                return key
        return None

    def give_back(self, place: Place) -> None:
        """Note that the socket is closed; any thread may. :meth:`release` frees the row."""
        self._given_back.append(place)

    def release(self) -> int:
        """Free the places that were given back, all at once."""
        places = [self._given_back[index] for index in range(len(self._given_back))]  # others add to it meanwhile
        keys = [place.id for place in places if self._held.get(place.id) is place]
        freed = _delete(self._mine().filter(pk__in=keys)) if keys else 0
        # Not before: to a renewal a row that nobody holds would stand in for one that was lost.
        for key in keys:
            self._held.pop(key, None)
        for _ in places:
            self._given_back.popleft()
        return freed

    def release_all(self) -> None:
        """Free what is left: no socket is open, and nobody waits any longer for a place."""
        _delete(self._mine())

    def renew(self) -> list[Place]:
        """Say that this process lives. Return the places that it lost, and for which there is no other one."""
        self.release()
        now = database.now()
        if database.retried(lambda: self._mine().update(seen_at=now)) == len(self._held):
            return []
        mine = set(self._mine().values_list("id", flat=True))
        _delete(self._mine().filter(pk__in=mine - self._held.keys()))
        return [place for key, place in list(self._held.items()) if key not in mine and not self._regain(key, place)]

    def _regain(self, key: uuid.UUID, place: Place) -> bool:
        """Find another row for a place that others took over while this process could not renew it."""
        del self._held[key]
        found = self._take(place.user_pk)
        if found is None:
            return False
        place.id = found
        self._held[found] = place
        return True

    def _mine(self) -> QuerySet[OpenSocket]:
        return _rows().filter(process=self.process)


def forget_dead() -> int:
    """Delete a batch of the rows whose processes died."""
    dead = _rows().filter(seen_at__lt=database.now() - FORGOTTEN_AFTER).values_list("pk", flat=True)[:BATCH]
    return _rows().filter(pk__in=list(dead)).delete()[0]


def _insert(users: Mapping[uuid.UUID, Any], process: uuid.UUID) -> set[uuid.UUID]:
    """Insert those of the rows whose keys are not there yet, in one statement; return their keys.

    ``users`` has the user of each key. With the ORM it would be a transaction, which is two more round trips, and then
    a statement to find out which rows were inserted.
    """
    if not users:
        return set()
    connection = database.connection()
    given: list[Any] = [OpenSocket._meta.get_field(name) for name in ("id", "user", "process")]
    clock, moment = database.clock(OpenSocket._meta.get_field("seen_at"))
    params: list[Any] = []
    for key in sorted(users):  # in order: two who insert the same rows wait for each other and do not deadlock
        values = (key, users[key], process)
        params += [field.get_db_prep_save(value, connection) for field, value in zip(given, values, strict=True)]
        params += moment
    returns = connection.features.can_return_columns_from_insert

    def insert() -> Sequence[tuple[Any]]:
        with connection.cursor() as cursor:
            cursor.execute(_insertion(connection, clock, len(users)), params)
            return cursor.fetchall() if returns else ()

    inserted = database.retried(insert)
    if returns:
        return {given[0].to_python(key) for (key,) in inserted}
    return set(_rows().filter(pk__in=list(users), process=process).values_list("pk", flat=True))  # SQLite before 3.35


def _insertion(connection: Any, clock: str, count: int) -> str:
    """Return the statement that inserts ``count`` rows and passes over those that are there."""
    quote, is_mariadb = connection.ops.quote_name, connection.vendor == "mysql"
    fields: list[Any] = [OpenSocket._meta.get_field(name) for name in ("id", "user", "process", "seen_at")]
    columns = [quote(field.column) for field in fields]
    rows = ", ".join([f"(%s, %s, %s, {clock})"] * count)
    start, end = ("INSERT IGNORE", "") if is_mariadb else ("INSERT", " ON CONFLICT DO NOTHING")
    if connection.features.can_return_columns_from_insert:
        end += f" RETURNING {columns[0]}"
    table = quote(OpenSocket._meta.db_table)
    return f"{start} INTO {table} ({', '.join(columns)}) VALUES {rows}{end}"


def _delete(rows: QuerySet[OpenSocket]) -> int:
    """Delete them in one statement, around which ``delete()`` would open a transaction; return how many there were."""
    return database.retried(lambda: rows._raw_delete(database.alias())) or 0  # noqa: SLF001  (None: nothing to ask for)


def _rows() -> QuerySet[OpenSocket]:
    return OpenSocket.primary.all()


def _keys(user_pk: Any) -> Iterable[uuid.UUID]:
    """The keys of a user's places; nobody's are none."""
    if user_pk is None:
        return []
    return [uuid.uuid5(_NAMESPACE, f"{user_pk}:{number}") for number in range(SOCKETS_A_USER)]
