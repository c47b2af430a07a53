"""The duty of the leading scheduler that evaluates the rules: it raises alarms, refreshes and clears them.

An alarm is cleared when its rule did not hold for CLEAR_SECONDS, so that one that comes and goes stays. A rule that
fails, or that cannot tell yet, leaves its alarms as they are, and keeps no other rule from being evaluated.
"""

from __future__ import annotations

import datetime as dt
import logging
import time
from collections.abc import Iterator
from typing import Final

from django_jobs.conf import jobs_settings
from django_jobs.engine.alerts import records
from django_jobs.engine.alerts.rules import EVALUATED, Rule
from django_jobs.engine.alerts.telling import announce
from django_jobs.engine.alerts.thresholds import NO_SCHEDULER, AlertFinding, Round, RuleContext, is_on, thresholds_of
from django_jobs.engine.store import database
from django_jobs.models import Alert

logger = logging.getLogger("django_jobs")

#: Seconds between two evaluations.
PAUSE: Final = 10.0
#: Seconds for which a rule must not hold before its alarm is over.
CLEAR_SECONDS: Final = 30
#: After so many seconds without an evaluation, or so many leases, no scheduler ran.
SILENCE_SECONDS: Final = 180.0
SILENCE_LEASES: Final = 6


class Evaluator:
    """Evaluates the rules, once in PAUSE seconds."""

    def __init__(self) -> None:
        self._rules = dict(EVALUATED)
        self._next = 0.0
        self._failing: set[str] = set()

    def in_tick(self) -> int:
        """Evaluate the rules, once in PAUSE seconds. Return how many alarms were raised or cleared."""
        if time.monotonic() < self._next:
            return 0
        self._next = time.monotonic() + PAUSE
        return self.evaluate()

    def evaluate(self) -> int:
        """Evaluate the rules now. Return how many alarms were raised or cleared."""
        now = database.now()
        count = 0
        for alert in self._changes(now):
            announce(alert)
            count += 1
        records.forget_old(now)
        return count

    def _changes(self, now: dt.datetime) -> Iterator[Alert]:
        """Yield each alarm as it is raised or cleared, so that it is announced also if the database goes away then."""
        opened = records.read_open()
        shared = Round(moment=now)
        yield from _silence(now)
        yield from (alert for alert in opened if alert.rule not in self._rules and records.clear(alert, now))
        for name, rule in self._rules.items():
            mine = [alert for alert in opened if alert.rule == name]
            settings = thresholds_of(name)
            if settings is None:
                yield from (alert for alert in mine if records.clear(alert, now))
                continue
            found = self._look(name, rule, RuleContext(round=shared, thresholds=settings, open=_facts(mine)))
            if found is not None:
                shared.found[name] = {item.subject for item in found}
                yield from _settle(name, mine, found, now)

    def _look(self, name: str, rule: Rule, look: RuleContext) -> list[AlertFinding] | None:
        try:
            found = rule(look)
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
    before = records.note_evaluation(now)
    silence = dt.timedelta(seconds=max(SILENCE_SECONDS, SILENCE_LEASES * float(jobs_settings.LEASE_SECONDS)))
    if before is None or now - before < silence or not is_on(NO_SCHEDULER):
        return []
    return [records.store_past(NO_SCHEDULER, before, now)]


def _facts(alerts: list[Alert]) -> dict[str, dict[str, object]]:
    return {alert.subject: alert.facts for alert in alerts}


def _is_long_ago(seen_at: dt.datetime, now: dt.datetime) -> bool:
    """Return whether a rule did not hold for CLEAR_SECONDS. A moment ahead is one from before a clock was set back."""
    return abs(now - seen_at) >= dt.timedelta(seconds=CLEAR_SECONDS)


def _settle(rule: str, opened: list[Alert], found: list[AlertFinding], now: dt.datetime) -> Iterator[Alert]:
    """Write what a rule found beside its open alarms. Yield the alarms that were raised or cleared."""
    wanted = {item.subject[: records.MAX_SUBJECT]: item for item in found}
    held: list[Alert] = []
    for alert in opened:
        finding = wanted.pop(alert.subject, None)
        if finding is not None:
            alert.facts = finding.facts
            held.append(alert)
        elif _is_long_ago(alert.seen_at, now) and records.clear(alert, now):
            yield alert
    records.refresh(held, now)
    for finding in wanted.values():
        raised = records.raise_alert(rule, finding, now)
        if raised is not None:
            yield raised
