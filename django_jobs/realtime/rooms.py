"""The names of rooms that clients join, and the channel layer's groups behind them."""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from typing import Any, Final

from django_jobs.engine.json_storage import is_storable_text

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
