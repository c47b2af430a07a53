"""The rows of alarms, and the duty of the leading scheduler that evaluates the rules.

An alarm is raised once, kept up to date while its rule holds, cleared once, and deleted a day later. It is cleared when
its rule did not hold for ALERT_CLEAR_SECONDS, so that one that comes and goes stays. A rule that fails, or that cannot
tell yet, leaves its alarms as they are, and keeps no other rule from being evaluated.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import logging
import time
from collections.abc import Collection, Iterator
from typing import Any, Final

from django.db import IntegrityError, transaction

from django_jobs.conf import jobs_settings
from django_jobs.engine import timing
from django_jobs.engine.alerts.rules import (
    NO_SCHEDULER,
    RULES,
    RuleContext,
    is_on,
    thresholds_of,
)
from django_jobs.engine.alerts.telling import announce
from django_jobs.engine.insight.problems import Finding
from django_jobs.engine.store import database
from django_jobs.models import Alert, EngineLease

#: The row that says when the rules were evaluated.
LEASE: Final = "alerts"
MAX_SUBJECT: Final = 255
FORGOTTEN_AT_ONCE: Final = 1_000
#: Facts that may quote somebody's data.
TEXTS: Final = ("error", "exception", "fingerprint", "error_of")


def key_of(rule: str, subject: str) -> str:
    """Return what only one open alarm has. A hash, since some databases take texts for equal that differ in case."""
    return hashlib.blake2b(f"{rule}\0{subject}".encode("utf-8", "replace"), digest_size=32).hexdigest()


def raise_alert(rule: str, finding: Finding, now: dt.datetime) -> Alert | None:
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


def note_evaluation(now: dt.datetime) -> dt.datetime | None:
    """Store that the rules are evaluated now. Return when they were before; None if never."""
    row = EngineLease.primary.filter(pk=LEASE).only("ticked_at").first()
    if row is None:
        EngineLease.primary.bulk_create([EngineLease(name=LEASE, ticked_at=now)], ignore_conflicts=True)
        return None
    EngineLease.primary.filter(pk=LEASE).update(ticked_at=now)
    return row.ticked_at


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
    pks = list(
        Alert.primary.filter(cleared_at__lt=now - timing.ALERT_KEPT).values_list("pk", flat=True)[:FORGOTTEN_AT_ONCE]
    )
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


logger = logging.getLogger("django_jobs")

SILENCE_LEASES: Final = 6


class Evaluator:
    """Evaluates the rules, once in ALERT_LOOK_SECONDS."""

    def __init__(self) -> None:
        self._next = 0.0
        self._failing: set[str] = set()

    def in_tick(self) -> int:
        """Evaluate the rules, once in ALERT_LOOK_SECONDS. Return how many alarms were raised or cleared."""
        if time.monotonic() < self._next:
            return 0
        self._next = time.monotonic() + timing.ALERT_LOOK_SECONDS
        return self.evaluate()

    def evaluate(self) -> int:
        """Evaluate the rules now. Return how many alarms were raised or cleared."""
        now = database.now()
        count = 0
        for alert in self._changes(now):
            announce(alert)
            count += 1
        forget_old(now)
        return count

    def _changes(self, now: dt.datetime) -> Iterator[Alert]:
        """Yield each alarm as it is raised or cleared, so that it is announced also if the database goes away then."""
        opened = list(Alert.primary.filter(open_key__isnull=False).order_by("pk"))
        subjects: dict[str, Collection[str]] = {}
        active = {name: thresholds for name in RULES if (thresholds := thresholds_of(name)) is not None}
        yield from _silence(now)
        yield from (alert for alert in opened if alert.rule not in active and clear(alert, now))
        for name, thresholds in active.items():
            mine = [alert for alert in opened if alert.rule == name]
            facts = {alert.subject: alert.facts for alert in mine}
            found = self._find(name, RuleContext(moment=now, found=subjects, thresholds=thresholds, open=facts))
            if found is not None:
                subjects[name] = {item.subject for item in found}
                yield from _settle(name, mine, found, now)

    def _find(self, name: str, look: RuleContext) -> list[Finding] | None:
        rule = RULES[name]
        try:
            # Else a table that a migration holds would keep all alarms from being told.
            with database.store().limited(timing.ALERT_STATEMENT_SECONDS):
                found = None if rule.find is None else rule.find(look)
        except Exception as error:
            if database.is_lost_connection(error):
                raise
            if name not in self._failing:
                self._failing.add(name)
                logger.warning("event=alert_rule_failed rule=%s error=%r", name, error, exc_info=error)
            return None
        self._failing.discard(name)
        return found


def _silence(now: dt.datetime) -> list[Alert]:
    """Return an alarm, which is over, that no scheduler ran, if the rules were not evaluated for long until now."""
    before = note_evaluation(now)
    silence = dt.timedelta(
        seconds=max(timing.SCHEDULER_SILENCE_SECONDS, SILENCE_LEASES * float(jobs_settings.LEASE_SECONDS))
    )
    if before is None or now - before < silence or not is_on(NO_SCHEDULER):
        return []
    return [store_past(NO_SCHEDULER, before, now)]


def _settle(rule: str, opened: list[Alert], found: list[Finding], now: dt.datetime) -> Iterator[Alert]:
    """Write what a rule found beside its open alarms. Yield the alarms that were raised or cleared."""
    wanted = {item.subject[:MAX_SUBJECT]: item for item in found}
    held: list[Alert] = []
    for alert in opened:
        finding = wanted.pop(alert.subject, None)
        if finding is not None:
            alert.facts, alert.seen_at = finding.facts, now
            held.append(alert)
        elif now - alert.seen_at >= dt.timedelta(seconds=timing.ALERT_CLEAR_SECONDS) and clear(alert, now):
            yield alert
    Alert.primary.bulk_update(held, ["seen_at", "facts"])
    for finding in wanted.values():
        raised = raise_alert(rule, finding, now)
        if raised is not None:
            yield raised
