"""A job type most of whose recent attempts failed.

Recent attempts are those of the last ``seconds``. If these are fewer than ``attempts``, the newest minutes of the last
day that have so many count. None counts that came before an alarm of the type was over. The alarm is raised if at least
``share`` of them failed, more of them than chance explains: of few attempts nearly all, of many half. It is over once
fewer of the newest attempts fail.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Mapping
from typing import Any, Final

from django_jobs.engine.alerts import records
from django_jobs.engine.alerts.failing_jobs import (
    FailingJob,
    commonest_fingerprint,
    counts_by_organization,
    failing_jobs,
    newest_with,
)
from django_jobs.engine.alerts.findings import MAX_FINDINGS, Finding, Look, one_line, since_of
from django_jobs.engine.alerts.recent_attempts import (
    DAY,
    Step,
    attempts_since,
    begin_of_streak,
    newest_of,
    read_steps,
    total_of,
    types_with_failures,
)
from django_jobs.engine.alerts.thresholds import TYPE_FAILING
from django_jobs.engine.insight.inspection import jobs
from django_jobs.engine.insight.raised_errors import last_traceback
from django_jobs.engine.store.aggregates import start_of
from django_jobs.engine.transitions.error_fingerprints import exception_in
from django_jobs.models import JobType, Span

#: Failures are certain from this share on, however high the threshold is: no share of 1 can be proven.
CERTAIN: Final = 0.5


def find(look: Look) -> list[Finding]:
    """Return the types most of whose recent attempts failed."""
    names = _types_to_judge(look)
    over = records.cleared_moments(TYPE_FAILING) if names else {}
    # Those that are told already come first: they stay, however many there are.
    failing = sorted(_failing_of(names, look, over), key=lambda name: (name not in look.open, name))[:MAX_FINDINGS]
    kinds = JobType.primary.in_bulk(failing)
    begins = {name: _began(look, name, over.get(name)) for name in failing if name in kinds}
    since = {name: began for name, began in begins.items() if began is not None}
    counted = attempts_since(since)
    return [
        Finding(
            subject=name,
            facts={
                "since": began.isoformat(),
                "attempts": counted[name].ended,
                "failed": counted[name].failed,
                "is_paused": kinds[name].is_paused,
                "is_disabled": not kinds[name].is_enabled,
                **_about_jobs(look, kinds[name], began),
            },
        )
        for name, began in since.items()
    ]


def _types_to_judge(look: Look) -> set[str]:
    """Return the types with failures lately, or with enough of them within a day, and those that are told."""
    least, day = look.thresholds["attempts"], start_of(Span.HOUR, look.moment - DAY)
    names = types_with_failures(Span.MINUTE, look.ago(look.thresholds["seconds"]))
    return names | types_with_failures(Span.HOUR, day, (least + 1) // 2) | set(look.open)


def _failing_of(names: set[str], look: Look, over: Mapping[str, dt.datetime]) -> Iterator[str]:
    """Yield those of these types that fail; ``over`` is when their alarms were over for the last time."""
    least, window, day = look.thresholds["attempts"], look.ago(look.thresholds["seconds"]), look.moment - DAY
    steps = read_steps(Span.MINUTE, {name: max(window, over.get(name, window)) for name in names})
    rare = [name for name in names if total_of(steps.get(name, [])).ended < least]
    hours = read_steps(Span.HOUR, dict.fromkeys(rare, start_of(Span.HOUR, day)))
    back = {name: newest_of(found, least)[-1].starts_at for name, found in hours.items()}
    minutes = read_steps(Span.MINUTE, {name: max(begin, day, over.get(name, day)) for name, begin in back.items()})
    steps |= {name: newest_of(minutes.get(name, []), least) for name in rare}
    yield from (name for name in names if _is_failing(look, name, steps[name]))


def _is_failing(look: Look, name: str, steps: list[Step]) -> bool:
    """Return whether these steps, and the newest of them, are failing. An open alarm needs no new proof."""
    share, least, total = look.thresholds["share"], look.thresholds["attempts"], total_of(steps)
    if total.ended < least or total_of(newest_of(steps, least)).share < share:
        return False
    return name in look.open or (total.share >= share and total.sure_share >= min(share, CERTAIN))


def _began(look: Look, name: str, over: dt.datetime | None) -> dt.datetime | None:
    known = since_of(look.open.get(name, {}))
    return known or begin_of_streak(name, look.thresholds["share"], look.moment, over)


def _about_jobs(look: Look, kind: JobType, since: dt.datetime) -> dict[str, Any]:
    """Return the commonest error of the jobs whose attempts failed since, and whose jobs they are."""
    rows, is_cut = failing_jobs([kind.pk], since - dt.timedelta(seconds=kind.default_timeout))
    return {
        "organizations": counts_by_organization(row.organization for row in rows),
        "has_more": is_cut,
        **_error(rows, look.open.get(kind.pk, {})),
    }


def _error(rows: list[FailingJob], known: Mapping[str, Any]) -> dict[str, str]:
    """Return the commonest error: as tenants read it, as system admins do, and the organization whose job it is of.

    One that is known is not read again, while jobs of that organization still fail with it.
    """
    names = ("fingerprint", "error", "exception", "error_of")
    fingerprint = commonest_fingerprint(rows)
    concerned = {str(row.organization) for row in rows if row.fingerprint == fingerprint}
    is_known = fingerprint == known.get("fingerprint") and known.get("error_of") in concerned
    if fingerprint is None or is_known:
        return {name: str(known.get(name, "")) for name in names}
    newest = newest_with(rows, fingerprint)
    job = jobs().filter(pk=newest.pk).only("error_message").first()
    if job is None:
        return dict.fromkeys(names, "")
    exception = exception_in(last_traceback(job)) or job.error_message
    values = (fingerprint, one_line(job.error_message), one_line(exception), str(newest.organization))
    return dict(zip(names, values, strict=True))
