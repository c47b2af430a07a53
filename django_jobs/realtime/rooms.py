"""The names of what clients listen to, and of the layer's groups behind them."""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from typing import Any, Final

ORGANIZATION: Final = "org"
JOB: Final = "job"
ADMIN: Final = "admin"
MAX_NAME: Final = 200
#: A fixed number of groups: however many tenants there are, telling costs at most so many messages a round, and a web
#: process hears only of the parts in which somebody listens.
SHARDS: Final = 8


@dataclass(frozen=True, slots=True)
class Room:
    """``org:<organization>``, ``job:<job id>`` or ``admin:jobs``."""

    kind: str
    key: str

    @property
    def name(self) -> str:
        return f"{self.kind}:{self.key}"


def parse_room(text: object) -> Room | None:
    """The room of this name; None when no room could have it."""
    if not isinstance(text, str) or len(text) > MAX_NAME or not _is_storable(text):
        return None
    kind, _, key = text.partition(":")
    if kind not in {ORGANIZATION, JOB, ADMIN} or not key or (kind == ADMIN and key != "jobs"):
        return None
    return Room(kind, key)


def _is_storable(text: str) -> bool:
    """Whether a database takes it: no NUL, no half of a surrogate pair."""
    return not any(char == "\0" or "\ud800" <= char <= "\udfff" for char in text)


def group_of(organization_pk: Any) -> str:
    """The layer's group in which one hears of this organization's jobs; any key makes a name that Channels takes."""
    return f"django_jobs.{zlib.crc32(str(organization_pk).encode()) % SHARDS}"


def all_groups() -> list[str]:
    return [f"django_jobs.{number}" for number in range(SHARDS)]
