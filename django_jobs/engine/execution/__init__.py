"""What a worker does with a job: claim it, run its handler, renew its lease, and store how it ended."""

from __future__ import annotations
