"""Which scheduler leads: the one that the lease row names, until its moment is over."""

from __future__ import annotations

import datetime as dt
from typing import Final

from django.db.models import Q

from django_jobs.engine.store import database
from django_jobs.engine.store.database import SET_BACK
from django_jobs.models import EngineLease

LEASE: Final = "scheduler"
LEADER_SECONDS: Final = 10.0


def take(name: str, now: dt.datetime) -> bool:
    """Take or keep the leader's lease for this scheduler; return whether it leads.

    A lease that ends later than any that is given now counts for nothing: it would last for as long as the clock of
    the database was set back.
    """
    rows = EngineLease.primary.filter(pk=LEASE)
    lease = dt.timedelta(seconds=LEADER_SECONDS)
    values = {"holder": name, "ticked_at": now, "expires_at": now + lease}
    free = Q(holder=name) | Q(holder="") | Q(expires_at__isnull=True) | Q(expires_at__lt=now)
    free |= Q(expires_at__gt=now + lease + SET_BACK)
    if rows.filter(free).update(**values):
        return True
    if rows.exists():
        return False
    EngineLease.primary.bulk_create([EngineLease(name=LEASE)], ignore_conflicts=True)
    return rows.filter(free).update(**values) > 0


def resign(name: str) -> None:
    """Let another scheduler lead at once."""
    EngineLease.primary.filter(pk=LEASE, holder=name).update(holder="", expires_at=None)


def was_clock_set_back() -> bool:
    """Return whether the last leader worked at a moment that is still to come."""
    return EngineLease.primary.filter(pk=LEASE, ticked_at__gt=database.now() + SET_BACK).exists()
