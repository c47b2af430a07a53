"""Trying first what is quick, where that is not in vain too often."""

from __future__ import annotations


class Tries:
    """Leaves the quick way out ever more often while it is in vain, and takes it again as it succeeds.

    It is left out ``most`` times in a row at most. Below two successes in three it becomes rare.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self.forget()

    def forget(self) -> None:
        """Begin anew, with a try."""
        self._leaves_out = 0
        self._left = 0

    def is_due(self) -> bool:
        """Return whether to try it this time; one that is left out counts."""
        if self._left == 0:
            return True
        self._left -= 1
        return False

    def note(self, *, succeeded: bool) -> None:
        """Note how a try ended."""
        self._leaves_out = self._leaves_out // 2 if succeeded else min(4 * self._leaves_out + 1, self._most)
        self._left = self._leaves_out
