"""What the end of a job means for the jobs that wait for it."""

from __future__ import annotations
