"""The protocol of a socket: rooms that clients join, and frames in both directions."""

from __future__ import annotations

import datetime as dt
import json
import zlib
from dataclasses import dataclass
from typing import Any, Final

from django_jobs.engine.json_storage import is_storable_text
from django_jobs.values import BatchStatus, JobStatus

# The names of rooms that clients join, and the channel layer's groups behind them.


ORGANIZATION: Final = "org"
JOB: Final = "job"
BATCH: Final = "batch"
ADMIN: Final = "admin"
#: In characters.
MAX_NAME: Final = 200
#: How many groups share all organizations. The number is fixed, so that a round of notifications is at most this many
#: messages however many organizations there are, and a web process receives only the groups that it needs.
SHARDS: Final = 8


@dataclass(frozen=True, slots=True)
class Room:
    """``org:<organization>``, ``job:<job id>``, ``batch:<batch id>`` or ``admin:jobs``."""

    kind: str
    key: str

    @property
    def name(self) -> str:
        """Return the name by which clients join the room."""
        return f"{self.kind}:{self.key}"


def parse_room(text: object) -> Room | None:
    """Return the room of this name; None when no room could have the name."""
    if not isinstance(text, str) or len(text) > MAX_NAME or not is_storable_text(text):
        return None
    kind, _, key = text.partition(":")
    if kind not in {ORGANIZATION, JOB, BATCH, ADMIN} or not key or (kind == ADMIN and key != "jobs"):
        return None
    return Room(kind, key)


def group_of(organization_pk: Any) -> str:
    """Return the layer's group for this organization's jobs. The name is valid in Channels whatever the key is."""
    return f"django_jobs.{zlib.crc32(str(organization_pk).encode()) % SHARDS}"


def all_groups() -> list[str]:
    """Return the groups of all organizations."""
    return [f"django_jobs.{number}" for number in range(SHARDS)]


# The size limit of a frame, the JSON in it, and the codes that close a socket.
#
# A frame has at most 64 KiB. Longer texts are cut and marked, and a result that does not fit is left out.


#: Of a frame in either direction, in bytes of UTF-8.
MAX_BYTES: Final = 65_536
#: The last character of a text that was cut.
SIGN: Final = "…"
#: The lengths of texts as JSON, in bytes. Together with the other fields they fit into a frame, whatever characters
#: they hold.
MAX_ERROR: Final = 16_384
MAX_REFERENCE: Final = 12_100
MAX_MESSAGE: Final = 3_100
#: How many parents' ids a job's state has.
MAX_PARENTS: Final = 500
#: A longer room name is not repeated in an error, in characters.
MAX_SHOWN: Final = 200
#: Bytes for what a frame holds beside a job's state, such as the room's name.
_AROUND: Final = 4_096
#: JSON writes a character outside the basic plane as two escapes of six bytes.
_LONGEST: Final = 12
_SIGN_BYTES: Final = 6

#: Close code for an unknown, deactivated or signed-out user.
REVOKED: Final = 4401
#: Close code for a user who has as many sockets open as a user may have.
TOO_MANY: Final = 4429
#: "Try again later" (RFC 6455's registry): the server cannot find out now who the user is.
TRY_AGAIN: Final = 1013
#: "Message too big" (RFC 6455): the client sent a frame of more than MAX_BYTES.
TOO_BIG: Final = 1009


def joined(room: str, cursor: int, *, resync: bool, **more: Any) -> str:
    """Return the frame that answers a join: events after ``cursor`` follow.

    With ``resync`` the client is asked to read REST first. ``more`` is the state that a job's or a batch's room adds.
    """
    message: dict[str, Any] = {"event": "joined", "room": room, "cursor": cursor}
    return dumps({**message, **({"resync": True} if resync else {}), **more})


def left(room: str, reason: str = "") -> str:
    """Return the frame that says that the client hears no more of the room; with a ``reason`` the server ended it."""
    return dumps({"event": "left", "room": room, **({"reason": reason} if reason else {})})


def error_frame(code: str, detail: str, room: object = None) -> str:
    """Return the frame that says what was wrong with a frame of the client's."""
    shown = room if isinstance(room, str) and len(room) <= MAX_SHOWN else None
    return dumps({"event": "error", "code": code, "room": shown, "detail": detail})


def pong() -> str:
    """Return the frame that answers a ping."""
    return dumps({"event": "pong"})


def size_of(payload: str | bytes) -> int:
    """Return the size of a client's frame in bytes, or at least more than MAX_BYTES if it has more."""
    if isinstance(payload, bytes) or len(payload) > MAX_BYTES:
        return len(payload)
    return len(payload.encode(errors="surrogatepass"))


def cut(text: str, limit: int) -> str:
    """Return the text, or as much of its beginning as takes ``limit`` bytes in JSON with the sign that it was cut."""
    if len(text) * _LONGEST + 2 <= limit or len(json.dumps(text)) <= limit:
        return text
    kept = text[:limit]
    while len(json.dumps(kept)) > limit - _SIGN_BYTES:
        kept = kept[: len(kept) * 7 // 8]
    return f"{kept}{SIGN}"


def cut_texts(data: dict[str, Any]) -> dict[str, Any]:
    """Return the same fields, with the texts that are too long for a frame cut."""
    bounds = {"error_message": MAX_ERROR, "output_reference": MAX_REFERENCE, "progress_message": MAX_MESSAGE}
    return {name: cut(value, bounds[name]) if name in bounds and value else value for name, value in data.items()}


def state_of(status: JobStatus) -> tuple[dict[str, Any], list[str]]:
    """Return the fields of a status for JSON, and the names of the fields that are cut or left out."""
    whole = status.as_dict()
    data = cut_texts(whole)
    data["depends_on"] = data["depends_on"][:MAX_PARENTS]
    if len(dumps(data)) > MAX_BYTES - _AROUND:
        data["result"] = None
    return data, [name for name, value in data.items() if value != whole[name]]


def state_of_batch(status: BatchStatus) -> dict[str, Any]:
    """Return the fields of a batch's status for JSON, a long text cut."""
    return {**status.as_dict(), "fault": cut(status.fault, MAX_ERROR)}


def dumps(value: object) -> str:
    """Return the value as JSON of ASCII characters only, with moments as REST writes them."""
    return json.dumps(value, default=_plain)


def _plain(value: object) -> str:
    if isinstance(value, dt.datetime):
        return moment(value)
    raise TypeError(f"{type(value).__name__} is no JSON.")


def moment(value: dt.datetime) -> str:
    """Return the moment as REST writes it: ISO 8601 in UTC."""
    return value.astimezone(dt.UTC).isoformat().replace("+00:00", "Z")
