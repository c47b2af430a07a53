"""One-time tickets that open a websocket, and the seats that limit how many websockets a user has open."""

from __future__ import annotations

import base64
import datetime as dt
import functools
import hashlib
import random
import secrets
import uuid
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from django.db.models import QuerySet

from django_jobs.engine import timing
from django_jobs.engine.store import database
from django_jobs.engine.store.database import store
from django_jobs.models import OpenSocket, SocketTicket

# One-time tickets that open a websocket, and the seats that limit how many websockets a user has open.


# Short-lived tickets by which a client that cannot send a header proves who opens a websocket.
#
# A ticket opens one socket. The socket ends with the session or the token that asked for the ticket.


#: No ticket has more characters. A longer text is refused without a look at the database.
MAX_LENGTH: Final = 100
BATCH: Final = 1_000

SESSION: Final = "session"
TOKEN: Final = "token"  # noqa: S105  (the name of a kind, not a secret)


@dataclass(frozen=True, slots=True)
class Credential:
    """How somebody proved who they are. ``kind`` is SESSION, TOKEN, or blank for any other way.

    ``secret`` is the session's key, or a token with the keyword before it. ``auth_hash`` is the hash of the user's
    password when a session asked.
    """

    kind: str = ""
    secret: str = field(default="", repr=False)
    auth_hash: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class Redeemed:
    """Who a used ticket was issued for, and which credential asked for it."""

    user_pk: Any
    credential: Credential


ANOTHER: Final = Credential()


def make_ticket(user: Any, credential: Credential = ANOTHER) -> str:
    """Return a new ticket for this user, good for SOCKET_PASS_SECONDS, in characters that a subprotocol may have.

    Pass the credential that the user's request came with. The ticket, and the socket that it opens, end with it.
    """
    ticket = secrets.token_urlsafe(32)
    SocketTicket.primary.create(
        digest=_digest(ticket),
        user_id=user.pk,
        credential=f"{credential.kind}:{_seal(credential.secret, ticket)}" if credential.kind else "",
        session_auth_hash=credential.auth_hash,
        expires_at=database.now() + dt.timedelta(seconds=timing.SOCKET_PASS_SECONDS),
    )
    return ticket


def use_ticket(ticket: str) -> Redeemed | None:
    """Use up a ticket and return who it was issued for; None if it is unknown, used or expired.

    Of two callers at the same moment one deletes the row, and the other gets None. The caller must check whether the
    credential still holds.
    """
    if not ticket or len(ticket) > MAX_LENGTH:
        return None
    rows = SocketTicket.primary.filter(pk=_digest(ticket))
    ticket_row = rows.first()
    # delete() would open a transaction around the one statement.
    if ticket_row is None or not rows._raw_delete(rows.db) or ticket_row.expires_at <= database.now():  # noqa: SLF001
        return None
    kind, _, sealed = ticket_row.credential.partition(":")
    return Redeemed(ticket_row.user_id, Credential(kind, _unseal(sealed, ticket), ticket_row.session_auth_hash))


def forget_expired_tickets() -> int:
    """Delete at most BATCH expired tickets, and return how many were deleted."""
    rows = SocketTicket.primary.all()
    expired = rows.filter(expires_at__lt=database.now()).values_list("pk", flat=True)[:BATCH]
    return rows.filter(pk__in=list(expired)).delete()[0]


def _digest(ticket: str) -> str:
    return hashlib.sha256(ticket.encode(errors="replace")).hexdigest()


def _seal(secret: str, ticket: str) -> str:
    """Encrypt the secret, so that who reads the table and does not hold the ticket cannot read it.

    This is a one-time pad (SHAKE-256 of the ticket): the ticket is random, seals one secret, and is stored nowhere.
    """
    return base64.urlsafe_b64encode(_pad(secret.encode(), ticket)).decode()


def _unseal(sealed: str, ticket: str) -> str:
    return _pad(base64.urlsafe_b64decode(sealed), ticket).decode(errors="replace")


def _pad(data: bytes, ticket: str) -> bytes:
    stream = hashlib.shake_256(b"django_jobs.socket_ticket:" + ticket.encode()).digest(len(data))
    return bytes(one ^ other for one, other in zip(data, stream, strict=True))


# The limit of open websockets a user, counted over all processes.
#
# Each user has a fixed number of seats, whose keys are computed from the user's key. The table's primary key makes sure
# that a seat is taken once, however many sockets connect at the same moment. A process renews all of its seats in one
# statement. The seats of a process that died are free again after 70 seconds.


SOCKETS_A_USER: Final = 20

_NAMESPACE: Final = uuid.UUID("6a1f4c2e-3d0b-5c8e-9a57-1f2f6f0c7d11")


@dataclass(slots=True, eq=False)
class Seat:
    """The right of one socket to be open.

    ``id`` is the key of the seat's row. It changes when another process took the row over and a free one was found.
    """

    user_pk: Any
    id: uuid.UUID


class Seats:
    """The seats that one process holds. One thread calls it and uses the database; any thread may call give_back."""

    def __init__(self) -> None:
        self.process = uuid.uuid4()
        self._held: dict[uuid.UUID, Seat] = {}
        self._given_back: deque[Seat] = deque()

    def take(self, user_pk: Any) -> Seat | None:
        """Return a seat for one more socket of this user; None when the user has SOCKETS_A_USER open sockets."""
        return self.take_all([user_pk])[0]

    def take_all(self, user_pks: Sequence[Any]) -> list[Seat | None]:
        """Return a seat for each of these users, in order; None for each who has SOCKETS_A_USER open sockets.

        One statement inserts rows for seats that this process does not hold. Another statement looks for a free seat
        only where another process holds the one that was chosen.
        """
        self.release()
        keys = self._choose(user_pks)
        wanted = {key: pk for key, pk in zip(keys, user_pks, strict=True) if key is not None}
        taken = store().insert_sockets(wanted, self.process)
        new = {key: Seat(pk, key) for key, pk in zip(keys, user_pks, strict=True) if key in taken}
        seats: list[Seat | None] = []
        for key, pk in zip(keys, user_pks, strict=True):
            other = key if key is None or key in taken else self._take(pk, new)
            seats.append(None if other is None else new.setdefault(other, Seat(pk, other)))
        self._held |= new  # only when all is done: after an interruption the call can be repeated
        return seats

    def _choose(self, user_pks: Sequence[Any]) -> list[uuid.UUID | None]:
        """Choose a free key for each of these users; None where this process holds all keys of the user."""
        free: dict[Any, list[uuid.UUID]] = {pk: self._free(pk) for pk in set(user_pks)}
        return [free[pk].pop() if free[pk] else None for pk in user_pks]

    def _free(self, user_pk: Any, new: Iterable[uuid.UUID] = ()) -> list[uuid.UUID]:
        """Return the user's keys that this process does not hold, and that are not in ``new``.

        Their order is random, so that processes that look at the same moment seldom want the same key.
        """
        free = list(set(_keys(user_pk)) - self._held.keys() - set(new))
        random.shuffle(free)
        return free

    def _take(self, user_pk: Any, new: Iterable[uuid.UUID] = ()) -> uuid.UUID | None:
        """Take a seat that nobody holds and return its key; None where there is none.

        ``new`` are the keys that this process is taking in the same call.
        """
        rows = _rows().filter(user_id=user_pk).values_list("id", "process", "seen_at")
        taken = {key: (process, seen_at) for key, process, seen_at in rows}
        now = database.now()
        for key in self._free(user_pk, new):
            process, seen_at = taken.get(key, (None, now))
            if process is None:
                is_mine = bool(store().insert_sockets({key: user_pk}, self.process))
            elif process == self.process:  # this process inserted it before, and the database's answer was lost
                is_mine = True
            elif seen_at < now - timing.SEAT_FREE:
                stale = _rows().filter(pk=key, seen_at=seen_at)
                is_mine = bool(database.retried(functools.partial(stale.update, process=self.process, seen_at=now)))
            else:
                continue
            if is_mine:
                return key
        return None

    def give_back(self, seat: Seat) -> None:
        """Note that the seat's socket is closed. :meth:`release` frees the row. Any thread may call this."""
        self._given_back.append(seat)

    def release(self) -> int:
        """Free the seats that were given back, in one statement, and return how many rows were deleted."""
        seats = [self._given_back[index] for index in range(len(self._given_back))]  # other threads append meanwhile
        keys = [seat.id for seat in seats if self._held.get(seat.id) is seat]
        freed = _delete(self._mine().filter(pk__in=keys)) if keys else 0
        # Only after the deletion: `renew` compares the number of rows with the number of held seats, so a row that is
        # still there for no seat would hide a lost one.
        for key in keys:
            self._held.pop(key, None)
        for _ in seats:
            self._given_back.popleft()
        return freed

    def release_all(self) -> None:
        """Free all rows of this process. Call it when no socket is open and none waits for a seat."""
        _delete(self._mine())

    def renew(self) -> list[Seat]:
        """Renew the seats of this process. Return those that it lost and for which no other seat is free."""
        self.release()
        now = database.now()
        if database.retried(lambda: self._mine().update(seen_at=now)) == len(self._held):
            return []
        mine = set(self._mine().values_list("id", flat=True))
        _delete(self._mine().filter(pk__in=mine - self._held.keys()))
        return [seat for key, seat in list(self._held.items()) if key not in mine and not self._regain(key, seat)]

    def _regain(self, key: uuid.UUID, seat: Seat) -> bool:
        """Find another row for a seat that another process took over. Return False where none is free."""
        del self._held[key]
        regained = self._take(seat.user_pk)
        if regained is None:
            return False
        seat.id = regained
        self._held[regained] = seat
        return True

    def _mine(self) -> QuerySet[OpenSocket]:
        return _rows().filter(process=self.process)


def forget_dead_sockets() -> int:
    """Delete at most BATCH rows of processes that died, and return how many were deleted."""
    dead = _rows().filter(seen_at__lt=database.now() - timing.SEAT_FORGOTTEN).values_list("pk", flat=True)[:BATCH]
    return _rows().filter(pk__in=list(dead)).delete()[0]


def _delete(rows: QuerySet[OpenSocket]) -> int:
    """Delete the rows in one statement and return how many there were. ``delete()`` would open a transaction."""
    return database.retried(lambda: rows._raw_delete(database.alias())) or 0  # noqa: SLF001  (it returns None for an empty set)


def _rows() -> QuerySet[OpenSocket]:
    return OpenSocket.primary.all()


def _keys(user_pk: Any) -> Iterable[uuid.UUID]:
    """Return the keys of the user's seats; none for a user without a key."""
    if user_pk is None:
        return []
    return [uuid.uuid5(_NAMESPACE, f"{user_pk}:{number}") for number in range(SOCKETS_A_USER)]
