"""The rows of alarms: raised once, kept up to date while their rules hold, cleared once, deleted a day later."""

from __future__ import annotations

import datetime as dt
import hashlib
from collections.abc import Sequence
from typing import Any, Final

from django.db import IntegrityError, transaction

from django_jobs.engine.alerts.thresholds import AlertFinding
from django_jobs.engine.store import database
from django_jobs.models import Alert, EngineLease

#: The row that says when the rules were evaluated.
LEASE: Final = "alerts"
#: How long an alarm that is over is kept.
KEPT: Final = dt.timedelta(days=1)
MAX_SUBJECT: Final = 255
FORGOTTEN_AT_ONCE: Final = 1_000
#: Facts that may quote somebody's data.
TEXTS: Final = ("error", "exception", "fingerprint", "error_of")


def key_of(rule: str, subject: str) -> str:
    """Return what only one open alarm has. A hash, since some databases take texts for equal that differ in case."""
    return hashlib.blake2b(f"{rule}\0{subject}".encode("utf-8", "replace"), digest_size=32).hexdigest()


def read_open() -> list[Alert]:
    """Return all open alarms."""
    return list(Alert.primary.filter(open_key__isnull=False).order_by("pk"))


def raise_alert(rule: str, finding: AlertFinding, now: dt.datetime) -> Alert | None:
    """Store a new alarm and return it; None where another scheduler was first."""
    subject = finding.subject[:MAX_SUBJECT]
    alert = Alert(rule=rule, subject=subject, raised_at=now, seen_at=now, facts=finding.facts)
    alert.open_key = key_of(rule, subject)
    try:
        with transaction.atomic(using=database.alias()):
            alert.save(using=database.alias(), force_insert=True)
    except IntegrityError:
        return None
    return alert


def refresh(alerts: Sequence[Alert], now: dt.datetime) -> None:
    """Store the facts of these open alarms, which hold now, in one statement."""
    for alert in alerts:
        alert.seen_at = now
    Alert.primary.bulk_update(alerts, ["seen_at", "facts"])


def note_evaluation(now: dt.datetime) -> dt.datetime | None:
    """Store that the rules are evaluated now. Return when they were before; None if never."""
    row = EngineLease.primary.filter(pk=LEASE).only("ticked_at").first()
    if row is None:
        EngineLease.primary.bulk_create([EngineLease(name=LEASE, ticked_at=now)], ignore_conflicts=True)
        return None
    EngineLease.primary.filter(pk=LEASE).update(ticked_at=now)
    return row.ticked_at


def cleared_moments(rule: str) -> dict[str, dt.datetime]:
    """Return when alarms of this rule were over for the last time, by subject, as far as they are kept."""
    over = Alert.primary.filter(rule=rule, cleared_at__isnull=False).order_by("cleared_at")
    return {subject: cleared for subject, cleared in over.values_list("subject", "cleared_at") if cleared}


def store_past(rule: str, since: dt.datetime, now: dt.datetime) -> Alert:
    """Store an alarm that nobody could store while it was open, and that is over now. Return it."""
    facts = {"since": since.isoformat(), "has_run": True}
    return Alert.primary.create(rule=rule, raised_at=since, seen_at=now, cleared_at=now, facts=facts)


def clear(alert: Alert, now: dt.datetime) -> bool:
    """End an alarm. Return whether this call did, and no other one before."""
    count = Alert.primary.filter(pk=alert.pk, open_key__isnull=False).update(cleared_at=now, open_key=None)
    alert.cleared_at, alert.open_key = now, None
    return count == 1


def forget_old(now: dt.datetime) -> int:
    """Delete alarms that have been over for a day; return how many went."""
    pks = list(Alert.primary.filter(cleared_at__lt=now - KEPT).values_list("pk", flat=True)[:FORGOTTEN_AT_ONCE])
    return Alert.primary.filter(pk__in=pks).delete()[0] if pks else 0


def forget_organization(organization_pk: Any) -> None:
    """Delete what alarms tell of an organization: its number of jobs, and the errors where it is concerned."""
    key = str(organization_pk)
    concerned = [alert for alert in Alert.primary.all() if key in (alert.facts.get("organizations") or {})]
    for alert in concerned:
        del alert.facts["organizations"][key]
        for name in TEXTS:
            alert.facts.pop(name, None)
    Alert.primary.bulk_update(concerned, ["facts"])
