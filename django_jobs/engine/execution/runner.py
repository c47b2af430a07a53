"""What a handler's context asks of whoever runs the handler."""

from __future__ import annotations

import contextlib
from typing import Protocol


class Runner(Protocol):
    """What runs the handler: takes its progress, and knows whether it is to stop."""

    def report(self, percent: int, message: str | None) -> None:
        """Take progress, without making the handler wait."""

    def is_canceled(self) -> bool:
        """Return whether the job is to stop: it was canceled, or this attempt no longer owns it."""

    def is_lost(self) -> bool:
        """Return whether this attempt is known to own the job no longer, without asking the database."""

    def check(self) -> None:
        """Raise the interruption that is due, if any."""

    def remind(self) -> None:
        """Raise it, unless it was raised less than two seconds ago: the handler may be cleaning up."""

    def interruptible(self) -> contextlib.AbstractContextManager[None]:
        """Return a ``with`` block in which interruptions may be raised."""

    def shielded(self) -> contextlib.AbstractContextManager[None]:
        """Return a ``with`` block inside of that in which interruptions wait."""
