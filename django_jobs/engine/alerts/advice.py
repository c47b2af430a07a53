"""What system admins can do about an alarm beside pressing buttons, in the reader's language."""

from __future__ import annotations

from django.utils.translation import gettext as _

from django_jobs.conf import DEFAULT_POOL
from django_jobs.engine.alerts import thresholds
from django_jobs.engine.alerts.seen_alerts import AlertSeen


def advice_on(alert: AlertSeen) -> str:
    """Return what system admins can do; blank where the error says it."""
    texts = {
        thresholds.NO_SCHEDULER: _(
            "Run “manage.py jobs_worker”, which has one, or “manage.py jobs_scheduler”, and look at its log."
        ),
        thresholds.QUEUE_WAITING: _(
            "Look whether Redis answers, at the workers' logs, and whether RQ is suspended (“rq resume”)."
        ),
        thresholds.DUTY_STALLED: _(
            "The scheduler's log says where the duty hangs. Restart that process if the duty does not go on."
        ),
        thresholds.BREAKER_OPEN: _("Mend what they call: the breaker closes by itself then."),
    }
    return _start_workers(alert) if alert.rule == thresholds.NO_WORKER else texts.get(alert.rule, "")


def _start_workers(alert: AlertSeen) -> str:
    if not alert.facts.get("is_configured", True):
        return _("Add this pool to DJANGO_JOBS['POOLS'] and start its workers, or give its job types another pool.")
    option = "" if alert.subject == DEFAULT_POOL else f" --pool {alert.subject}"
    return _("Start “manage.py jobs_worker%(option)s”, and look at its log if it ends.") % {"option": option}
