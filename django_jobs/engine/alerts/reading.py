"""The alarms as a user may know them.

System admins see all of them. Others see those that concern an organization whose jobs they see, without what is told
of others: the numbers are those of their own organizations, and the error is told only where it is of a job of theirs
and no other organization is concerned.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, Final

from django.db.models import OuterRef, Subquery

from django_jobs.engine import timing
from django_jobs.engine.alerts import rules
from django_jobs.engine.insight.inspection import Leader, leader
from django_jobs.engine.memory import Memory
from django_jobs.engine.organizations import current_ids
from django_jobs.engine.scope import Scope
from django_jobs.engine.store import database
from django_jobs.models import Alert, Breaker, JobType, get_organization_model
from django_jobs.statuses import BreakerState

#: The facts that everybody may know who sees the alarm.
_FOR_ALL: Final = ("since", "next_try_at", "state", "seconds", "job_type", "schedule")
#: Those besides that are told where only organizations of theirs are concerned: ``error_of`` says whose error it is.
_FOR_SOLE: Final = ("error",)


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertsSeen:
    """The alarms at one moment: the open ones, the most urgent first, and those that are over, the last one first.

    ``leader`` says whether the rules are evaluated at all.
    """

    moment: dt.datetime
    leader: Leader
    open: list[Alert]
    over: list[Alert] = field(default_factory=list)


def seen_by(found: AlertsSeen, keys: Collection[str]) -> AlertsSeen:
    """Return what somebody may know of these alarms who sees these organizations."""
    opened = [seen for alert in found.open if (seen := _reduced(alert, keys)) is not None]
    over = [seen for alert in found.over if (seen := _reduced(alert, keys)) is not None]
    return dataclasses.replace(found, open=opened, over=over)


def _reduced(alert: Alert, keys: Collection[str]) -> Alert | None:
    """Return what such a user may know of one alarm; None where none of the organizations is concerned."""
    if alert.rule == rules.NO_SCHEDULER:
        return alert.with_facts(alert.facts, is_partial=True)
    own = {key: count for key, count in alert.organizations.items() if key in keys}
    if not own:
        return None
    is_sole = len(own) == len(alert.organizations) and not alert.facts.get("has_more")
    names = (*_FOR_ALL, *_FOR_SOLE) if is_sole and alert.facts.get("error_of") in own else _FOR_ALL
    facts = {name: alert.facts[name] for name in names if name in alert.facts}
    return alert.with_facts({**facts, "organizations": own}, is_partial=True)


# Reading the alarms that a user may know: those that are open, and those that were over within the last day.
#
# That no scheduler is alive is no row: whoever reads finds it, since nobody evaluates the rules then.


#: So many alarms that are over are read, the newest.
MAX_OVER: Final = 500
#: The alarms whose subject is a job type. Whether it may run is told as it is now: people act on that.
_ABOUT_TYPES: Final = (rules.TYPE_FAILING, rules.BREAKER_OPEN)


def read_alerts(user: Any, *, has_over: bool = False, now: dt.datetime | None = None) -> AlertsSeen:
    """Return what the user may know, read now. With ``has_over``, those that are over are read as well.

    ``now`` is the database's time, where it was read before.
    """
    alarms = read_all_alerts(has_over=has_over, now=now)
    keys = _keys_of(Scope(user).organizations)
    return alarms if keys is None else seen_by(alarms, keys)


_lately: Final[Memory[str, AlertsSeen]] = Memory(100)


def read_all_alerts(*, has_over: bool = False, now: dt.datetime | None = None) -> AlertsSeen:
    """Return all alarms, read now. :func:`read_lately` goes by them afterwards."""
    found = _read(now or database.now(), has_over=has_over)
    _lately.put(database.alias(), dataclasses.replace(found, over=[]), timing.ALERTS_MEMORY_SECONDS)
    return found


def read_lately(user: Any) -> AlertsSeen:
    """Return the open alarms that the user may know, as they were within ALERTS_MEMORY_SECONDS."""
    found = _lately.fresh(database.alias()) or read_all_alerts()
    keys = _keys_of(Scope(user).organizations) if found.open else None
    return found if keys is None else seen_by(found, keys)


def names_of_concerned(alerts: Iterable[Alert], most: int | None = None) -> dict[str, str]:
    """Return the ids that concerned organizations have now, by the texts of their keys, in one statement.

    Of each alarm those of the first ``most`` are looked up, or all. Deleted organizations are missing.
    """
    to_python = get_organization_model()._meta.pk.to_python
    keys = {to_python(key) for alert in alerts for key in list(alert.organizations)[:most]}
    return {str(pk): name for pk, name in current_ids(keys).items()}


def forget() -> None:
    """Forget what :func:`read_lately` remembers."""
    _lately.clear()


def _keys_of(organizations: Collection[Any] | None) -> frozenset[str] | None:
    return None if organizations is None else frozenset(map(str, organizations))


def _read(now: dt.datetime, *, has_over: bool) -> AlertsSeen:
    scheduler = leader(now)
    opened = list(_open_rows())
    if not scheduler.is_alive and rules.is_on(rules.NO_SCHEDULER):
        opened.append(_no_scheduler(now, scheduler))
    over = _over(now) if has_over else []
    return AlertsSeen(moment=now, leader=scheduler, open=sorted(_once(opened), key=_urgency), over=over)


def _urgency(alert: Alert) -> tuple[int, float]:
    return rules.BY_URGENCY.index(alert.rule), -alert.since.timestamp()


def _open_rows() -> Iterator[Alert]:
    """Yield the open alarms. Those about a type say whether it is paused or disabled now."""
    kinds = JobType.primary.filter(pk=OuterRef("subject"))
    breakers = Breaker.primary.filter(pk=OuterRef("subject"))
    stands = {"breaker": Subquery(breakers.values("state")[:1])}
    stands |= {name: Subquery(kinds.values(name)[:1]) for name in ("is_paused", "is_enabled")}
    rows: Any = Alert.primary.filter(open_key__isnull=False).order_by().annotate(**stands)
    for row in rows:
        if row.rule not in rules.RULES or (row.rule == rules.BREAKER_OPEN and row.breaker == BreakerState.CLOSED):
            continue  # a rule of another release; a breaker that was closed since the rules were evaluated
        if row.rule in _ABOUT_TYPES and row.is_paused is not None:
            row.facts |= {"is_paused": bool(row.is_paused), "is_disabled": not row.is_enabled}
        yield row


def _no_scheduler(now: dt.datetime, scheduler: Leader) -> Alert:
    silent = scheduler.seconds_since_tick
    since = now if silent is None else now - dt.timedelta(seconds=silent)
    facts = {"since": since.isoformat(), "has_run": silent is not None}
    return Alert(rule=rules.NO_SCHEDULER, raised_at=since, seen_at=now, facts=facts)


def _over(now: dt.datetime) -> list[Alert]:
    rows = Alert.primary.filter(cleared_at__gte=now - timing.ALERT_KEPT, rule__in=list(rules.RULES))
    return list(rows.order_by("-cleared_at", "-pk")[:MAX_OVER])


def _once(alerts: list[Alert]) -> list[Alert]:
    """Leave out that a type fails where its breaker tells the same: for all that are concerned."""
    held = {alert.subject: alert for alert in alerts if alert.rule == rules.BREAKER_OPEN}

    def is_told(alert: Alert) -> bool:
        breaker = held.get(alert.subject) if alert.rule == rules.TYPE_FAILING else None
        holds_all = breaker is not None and not breaker.facts.get("organization")
        return breaker is not None and (holds_all or set(alert.organizations) <= set(breaker.organizations))

    return [alert for alert in alerts if not is_told(alert)]
