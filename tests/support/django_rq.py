"""The addresses of django-rq's pages, below its own root and below the admin's."""

from __future__ import annotations

from typing import Final

ROOTS: Final = ("/django-rq/", "/admin/django_rq/dashboard/")
TICKET: Final = "JOB-2026-00001-1"
_LISTS: Final = (
    "",
    "details/",
    "finished/",
    "failed/",
    "scheduled/",
    "started/",
    "deferred/",
    "empty/",
    "requeue-all/",
)


def pages_of_queue(index: int, entry: str) -> list[str]:
    """What there is to read about a queue, by its number, and about an entry of it."""
    about = [f"{entry}/{page}" for page in ("", "delete/", "requeue/", "enqueue/")]
    return [*(f"queues/{index}/{name}" for name in (*_LISTS, *about)), f"workers/{index}/"]
