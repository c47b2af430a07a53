"""What engine and workers need of whoever tells live pages, so that they do not import it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol


class Broadcaster(Protocol):
    """Tells live pages what happened. Best effort: no method waits, raises or touches the database."""

    def load(self) -> None:
        """Import what the first notification would import. Opens nothing, since a copy of the process may follow."""

    def changed(self, changes: Sequence[tuple[Any, int, int]]) -> None:
        """Tell of committed changes of status: (organization's key, Execution Log id, job's key) of each."""

    def updated(self, kind: str, organizations: Mapping[int, Any]) -> None:
        """Tell of another committed change: the organization's key by the job's key.

        ``kind`` is "progress" of jobs, or "batch", where the keys are those of batches.
        """

    def drain(self, timeout: float) -> None:
        """Send what waits, for at most ``timeout`` seconds, before the process ends."""


_broadcaster: list[Broadcaster] = []


def get_broadcaster() -> Broadcaster | None:
    """Return who tells live pages; None where the host has none."""
    return _broadcaster[0] if _broadcaster else None


def use_broadcaster(broadcaster: Broadcaster | None) -> None:
    """Put who tells live pages in place; None for nobody."""
    _broadcaster[:] = [] if broadcaster is None else [broadcaster]


def drain_broadcasts(timeout: float = 1.0) -> None:
    """Send what live pages have not been told yet, for at most ``timeout`` seconds, before the process ends."""
    if (broadcaster := get_broadcaster()) is not None:
        broadcaster.drain(timeout)
