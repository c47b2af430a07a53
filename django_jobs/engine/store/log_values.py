"""What a store says of how far the Execution Log is complete."""

from __future__ import annotations

from typing import NamedTuple


class Horizon(NamedTuple):
    """A moment in the order in which transactions began: by their ids, or in seconds where those are not told.

    No transaction had ``next_id`` yet; all before ``oldest_open`` have ended.
    """

    next_id: float
    oldest_open: float
