"""Where every alarm passes once when it is raised, and once when it is over. It is written to the log."""

from __future__ import annotations

import logging

from django_jobs.models import Alert

logger = logging.getLogger("django_jobs")


def announce(alert: Alert) -> None:
    """Tell that an alarm was raised, or that it is over. Its row is committed."""
    if alert.is_open:
        logger.warning("event=alert_raised rule=%s subject=%s", alert.rule, alert.subject)
    else:
        seconds = (alert.cleared_at - alert.raised_at).total_seconds() if alert.cleared_at else 0.0
        logger.info("event=alert_cleared rule=%s subject=%s seconds=%.0f", alert.rule, alert.subject, seconds)
