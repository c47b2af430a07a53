"""How many websockets a user has open, in all processes together.

Each user has a fixed number of places, whose keys are computed. The table's primary key sees to it that a place is
taken once, however many connect at the same moment. A process renews all of its places in one statement. Those of a
process that died are free again a good minute later.
"""

from __future__ import annotations

import datetime as dt
import random
import uuid
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

from django.db import IntegrityError, transaction
from django.db.models import QuerySet

from django_jobs.engine import database
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
        found = self._take(user_pk)
        if found is None:
            return None
        place = self._held[found] = Place(user_pk, found)
        return place

    def _take(self, user_pk: Any) -> uuid.UUID | None:
        taken = dict(_rows().filter(user_id=user_pk).values_list("id", "seen_at"))
        now = database.now()
        free = [key for key in _keys(user_pk) if key not in self._held]
        random.shuffle(free)  # those who connect at the same moment seldom want the same
        for key in free:
            if key not in taken:
                is_mine = self._insert(key, user_pk, now)
            elif taken[key] < now - FREE_AFTER:
                stale = _rows().filter(pk=key, seen_at=taken[key])
                is_mine = bool(stale.update(process=self.process, seen_at=now))
            else:
                continue
            if is_mine:
                return key
        return None

    def _insert(self, key: uuid.UUID, user_pk: Any, now: dt.datetime) -> bool:
        try:
            with transaction.atomic(using=database.alias()):
                _rows().create(id=key, user_id=user_pk, process=self.process, seen_at=now)
        except IntegrityError:  # somebody else was faster
            return False
        return True

    def give_back(self, place: Place) -> None:
        """Note that the socket is closed; any thread may. :meth:`release` frees the row."""
        self._given_back.append(place)

    def release(self) -> int:
        """Free the places that were given back, all at once."""
        keys = []
        while self._given_back:
            place = self._given_back.popleft()
            if self._held.get(place.id) is place:
                del self._held[place.id]
                keys.append(place.id)
        return self._mine().filter(pk__in=keys).delete()[0] if keys else 0

    def renew(self) -> list[Place]:
        """Say that this process lives. Return the places that it lost, and for which there is no other one."""
        if self._mine().update(seen_at=database.now()) == len(self._held):
            return []
        mine = set(self._mine().values_list("id", flat=True))
        self._mine().filter(pk__in=mine - self._held.keys()).delete()
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


def _rows() -> QuerySet[OpenSocket]:
    return OpenSocket.objects.using(database.alias())


def _keys(user_pk: Any) -> Iterable[uuid.UUID]:
    """The keys of a user's places."""
    return [uuid.uuid5(_NAMESPACE, f"{user_pk}:{number}") for number in range(SOCKETS_A_USER)]
