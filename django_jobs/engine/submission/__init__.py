"""From a call to a stored job: checks, limits, duplicates, and the insertion of one job or many."""

from __future__ import annotations
