"""Evaluating the rules of alarms, with the moments that a test wants."""

from __future__ import annotations

import datetime as dt
from typing import Any, Final

from django.db.models import F
from django.utils import timezone

from django_jobs.models import Alert, EngineLease, JobType, Organization
from tests.support import verbs
from tests.support.brokers import end, raised, running_job
from tests.support.monitor import count
from tests.support.verbs import ALERT_CLEAR_SECONDS, AlertEvaluator

ONLY_THIS: Final = (
    "type_failing",
    "queue_waiting",
    "no_worker",
    "dead_letters",
    "schedule_cannot_fire",
    "breaker_open",
)


def only(rule: str, **thresholds: Any) -> dict[str, Any]:
    """The setting with one rule switched on."""
    return {"ALERTS": {**dict.fromkeys(ONLY_THIS), "no_scheduler": None, rule: thresholds}}


def evaluate(evaluator: AlertEvaluator | None = None) -> list[Alert]:
    """The open alarms after the rules were evaluated once, by a scheduler that just began unless one is given."""
    (evaluator or AlertEvaluator()).evaluate()
    return list(Alert.objects.filter(cleared_at=None).order_by("rule", "subject"))


def the_alarm() -> Alert:
    """The one open alarm after an evaluation."""
    (alert,) = evaluate()
    return alert


def let_pass(seconds: float = ALERT_CLEAR_SECONDS) -> None:
    """Let the alarms have been seen so many seconds earlier."""
    by = dt.timedelta(seconds=seconds)
    Alert.objects.update(seen_at=F("seen_at") - by, raised_at=F("raised_at") - by)


def let_fail(kind: JobType, organization: Organization, attempts: int, ago: float = 120) -> None:
    """Let so many attempts have failed, as the scheduler would have counted them, and one job have failed now."""
    count(kind, organization, ago=ago, failed=attempts)
    fail_a_job(kind, organization)


def fail_a_job(kind: JobType, organization: Organization) -> None:
    """Let the last attempt of a new job fail."""
    end(raised(running_job(job_type=kind, organization=organization)[1]))


def scheduler_ticks(seconds_ago: float = 0) -> None:
    """Let a scheduler have ticked so long ago."""
    at = timezone.now() - dt.timedelta(seconds=seconds_ago)
    EngineLease.objects.update_or_create(name="scheduler", defaults={"holder": "one", "ticked_at": at})


def make_alert(
    rule: str,
    subject: str = "",
    facts: dict[str, Any] | None = None,
    *,
    ago: float = 60,
    cleared_ago: float | None = None,
) -> Alert:
    """An alarm that was raised so many seconds ago, and cleared if that is said."""
    now = timezone.now()
    cleared = None if cleared_ago is None else now - dt.timedelta(seconds=cleared_ago)
    return Alert.objects.create(
        rule=rule,
        subject=subject,
        raised_at=now - dt.timedelta(seconds=ago),
        seen_at=cleared or now,
        cleared_at=cleared,
        facts=facts or {},
        open_key=None if cleared else verbs.alert_key(rule, subject),
    )
