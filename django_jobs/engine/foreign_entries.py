"""What waits in our queues at a broker and is no ticket of ours."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ForeignEntry:
    """Something that waited in one of our queues and is no ticket of ours."""

    queue: str
    id: str


@dataclass(frozen=True, slots=True)
class SetAside:
    """Foreign entries that workers set aside.

    ``count`` is how many are remembered; ``is_capped`` says that there were more. ``newest`` are the ids of some.
    """

    count: int = 0
    is_capped: bool = False
    newest: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{self.count:,}{'+' if self.is_capped else ''}"
