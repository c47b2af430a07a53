"""Reading where rows are written, whatever a host's routers say of reads.

A replica may lag behind what decides a job's fate: its owner, their rights, their organization. Who asks for that, a
host's own policy and permission backends included, reads inside :func:`fresh_reads`.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Final

from django.db import models, router

_is_active: Final[ContextVar[bool]] = ContextVar("django_jobs_fresh_reads", default=False)


class FreshReads:
    """A database router that stands before the host's own, and speaks only inside :func:`fresh_reads`."""

    def db_for_read(self, model: type[models.Model], **hints: Any) -> str | None:
        """Return where rows of this model are written; None for the host's routers to answer."""
        return str(router.db_for_write(model, **hints)) if _is_active.get() else None


@contextmanager
def fresh_reads() -> Iterator[None]:
    """Read every model where it is written inside the block, in this thread or task.

    A queryset that names its database itself (``using``) keeps it.
    """
    routers = router.routers
    if routers and not isinstance(routers[0], FreshReads):  # the host's list may be another one since
        routers.insert(0, FreshReads())
    token = _is_active.set(True)
    try:
        yield
    finally:
        _is_active.reset(token)
