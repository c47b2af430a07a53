"""What fits into a frame: at most 64 kB. What is longer is cut, and says so."""

from __future__ import annotations

import datetime as dt
import json
from typing import Any, Final

from django_jobs.values import JobStatus

#: Of a frame in either direction, as UTF-8.
MAX_BYTES: Final = 65_536
#: The last character of a text that was cut.
SIGN: Final = "…"
#: As JSON, in bytes: together with the other fields they fit into a frame whatever characters they hold.
MAX_ERROR: Final = 16_384
MAX_REFERENCE: Final = 12_100
MAX_MESSAGE: Final = 3_100
MAX_PARENTS: Final = 500
#: What a frame holds besides a job's state: names of the room and so on.
_AROUND: Final = 4_096
#: A character outside the basic plane is written as two escapes.
_LONGEST: Final = 12
_SIGN_BYTES: Final = 6


def cut(text: str, limit: int) -> str:
    """The text, or as much of its beginning as takes ``limit`` bytes in JSON, with the sign that it was cut."""
    if len(text) * _LONGEST + 2 <= limit or len(json.dumps(text)) <= limit:
        return text
    kept = text[:limit]
    while len(json.dumps(kept)) > limit - _SIGN_BYTES:
        kept = kept[: len(kept) * 7 // 8]
    return f"{kept}{SIGN}"


def cut_texts(data: dict[str, Any]) -> dict[str, Any]:
    """The same fields, none of which is too long for a frame."""
    bounds = {"error_message": MAX_ERROR, "output_reference": MAX_REFERENCE, "progress_message": MAX_MESSAGE}
    return {name: cut(value, bounds[name]) if name in bounds and value else value for name, value in data.items()}


def state_of(status: JobStatus) -> tuple[dict[str, Any], list[str]]:
    """The fields of a status as JSON has them, and the names of those that had to be left out or cut."""
    whole = status.as_dict()
    data = cut_texts(whole)
    data["depends_on"] = data["depends_on"][:MAX_PARENTS]
    if len(dumps(data)) > MAX_BYTES - _AROUND:
        data["result"] = None
    return data, [name for name, value in data.items() if value != whole[name]]


def dumps(value: object) -> str:
    """As REST writes it; of ASCII characters only."""
    return json.dumps(value, default=_plain)


def _plain(value: object) -> str:
    if isinstance(value, dt.datetime):
        return moment(value)
    raise TypeError(f"{type(value).__name__} is no JSON.")


def moment(value: dt.datetime) -> str:
    """In UTC, as REST writes it."""
    return value.astimezone(dt.UTC).isoformat().replace("+00:00", "Z")
