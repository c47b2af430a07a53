"""The alarms as a user may know them.

System admins see all of them. Others see those that concern an organization whose jobs they see, without what is told
of others: the numbers are those of their own organizations, and the error is told only where it is of a job of theirs
and no other organization is concerned.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any, Final

from django_jobs.engine.alerts import thresholds
from django_jobs.engine.alerts.findings import since_of
from django_jobs.engine.insight.inspection import Leader

#: The facts that everybody may know who sees the alarm.
_FOR_ALL: Final = ("since", "next_try_at", "state", "seconds", "job_type", "schedule")
#: Those besides that are told where only organizations of theirs are concerned: ``error_of`` says whose error it is.
_FOR_SOLE: Final = ("error",)


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertSeen:
    """An alarm as a user may know it.

    With ``is_partial``, its facts are about the user's own organizations. ``pk`` is None where it is no row.
    """

    pk: int | None = None
    rule: str
    subject: str = ""
    raised_at: dt.datetime
    seen_at: dt.datetime
    cleared_at: dt.datetime | None = None
    facts: dict[str, Any] = field(default_factory=dict)
    is_partial: bool = False

    @property
    def is_open(self) -> bool:
        """Return whether it is still wrong."""
        return self.cleared_at is None

    @property
    def since(self) -> dt.datetime:
        """Return since when it is wrong, which may be earlier than when that was found."""
        return since_of(self.facts) or self.raised_at

    @property
    def key(self) -> str:
        """Return what tells it from the other open ones."""
        return f"{self.rule}:{self.subject}"

    @property
    def organizations(self) -> dict[str, int]:
        """Return the concerned organizations' keys as texts, each with a number of jobs."""
        found = self.facts.get("organizations")
        return found if isinstance(found, dict) else {}


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertsSeen:
    """The alarms at one moment: the open ones, the most urgent first, and those that are over, the last one first.

    ``leader`` says whether the rules are evaluated at all.
    """

    moment: dt.datetime
    leader: Leader
    open: list[AlertSeen]
    over: list[AlertSeen] = field(default_factory=list)


def seen_by(found: AlertsSeen, keys: Collection[str]) -> AlertsSeen:
    """Return what somebody may know of these alarms who sees these organizations."""
    opened = [seen for alert in found.open if (seen := _reduced(alert, keys)) is not None]
    over = [seen for alert in found.over if (seen := _reduced(alert, keys)) is not None]
    return dataclasses.replace(found, open=opened, over=over)


def _reduced(alert: AlertSeen, keys: Collection[str]) -> AlertSeen | None:
    """Return what such a user may know of one alarm; None where none of the organizations is concerned."""
    if alert.rule == thresholds.NO_SCHEDULER:
        return dataclasses.replace(alert, is_partial=True)
    own = {key: count for key, count in alert.organizations.items() if key in keys}
    if not own:
        return None
    is_sole = len(own) == len(alert.organizations) and not alert.facts.get("has_more")
    names = (*_FOR_ALL, *_FOR_SOLE) if is_sole and alert.facts.get("error_of") in own else _FOR_ALL
    facts = {name: alert.facts[name] for name in names if name in alert.facts}
    return dataclasses.replace(alert, facts={**facts, "organizations": own}, is_partial=True)
