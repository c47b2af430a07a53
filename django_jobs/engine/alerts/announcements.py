"""Where every alarm passes once when it is raised, and once when it is over: a log line and the signal ``job_alert``.

Mails go by the rows (``mails``), since they must not get lost.
"""

from __future__ import annotations

import logging

from django_jobs.engine.alerts.seen_alerts import AlertSeen
from django_jobs.engine.alerts.sentences import plain_text
from django_jobs.engine.alerts.thresholds import RULES
from django_jobs.engine.insight import signal_delivery
from django_jobs.models import Alert
from django_jobs.signals import job_alert

logger = logging.getLogger("django_jobs")


def announce(alert: Alert) -> None:
    """Tell that an alarm was raised, or that it is over. Its row is committed."""
    if alert.is_open:
        logger.warning("event=alert_raised rule=%s subject=%s", alert.rule, alert.subject)
    else:
        seconds = (alert.cleared_at - alert.raised_at).total_seconds() if alert.cleared_at else 0.0
        logger.info("event=alert_cleared rule=%s subject=%s seconds=%.0f", alert.rule, alert.subject, seconds)
    if alert.rule in RULES and job_alert.has_listeners(Alert):  # of a rule of another release there is no sentence
        _send(alert)


def _send(alert: Alert) -> None:
    seen = AlertSeen(
        pk=alert.pk,
        rule=alert.rule,
        subject=alert.subject,
        raised_at=alert.raised_at,
        seen_at=alert.seen_at,
        cleared_at=alert.cleared_at,
        facts=alert.facts,
    )
    text = plain_text(seen, alert.cleared_at or alert.seen_at)
    signal_delivery.deliver_about(job_alert, Alert, f"alert={alert.pk}", alert=seen, text=text)
