"""What stands on a schedule's page beside its form: how it is, its history, and what the code says of it."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import Any, Final

from django.utils.formats import date_format
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _

from django_jobs.admin.formatting import ago, as_json, line, linked, moment, zone_of
from django_jobs.admin.schedule_columns import job_link, job_names, outcome_badge, until
from django_jobs.admin.schedule_words import rule_words
from django_jobs.engine.job_types.declared_types import changed_from
from django_jobs.engine.job_types.masking import Names, masked
from django_jobs.engine.schedules.declared_schedules import is_declared
from django_jobs.engine.schedules.timetable import rule_of
from django_jobs.exceptions import InvalidSchedule
from django_jobs.models import Schedule, ScheduleFiring
from django_jobs.texts import comma, left_to_right

#: Firings that a page shows; with "show all", as many as are kept.
ROWS: Final = 20
ALL_ROWS: Final = 1_100
NEXT: Final = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Firing:
    """One firing in one line of the history."""

    due: SafeString | str
    fired: SafeString | str
    outcome: SafeString
    jobs: SafeString
    submitted: int
    skipped: int
    note: SafeString | str
    actor: SafeString | str


@dataclass(frozen=True, slots=True, kw_only=True)
class FiringHistory:
    """The newest firings of a schedule. With ``is_cut`` there are more."""

    firings: list[Firing]
    is_cut: bool


def read_history(schedule: Any, *, whole: bool) -> FiringHistory:
    """Return the newest firings, read in two statements."""
    limit = ALL_ROWS if whole else ROWS
    rows = list(ScheduleFiring.primary.filter(schedule_id=schedule.pk).order_by("-pk")[: limit + 1])
    names = job_names(rows[:limit])
    found = [
        Firing(
            due=moment(row.due_at),
            fired=ago(row.fired_at),
            outcome=outcome_badge(row),
            jobs=job_link(schedule.pages, row, names.get(row.job_id)),
            submitted=row.submitted,
            skipped=row.skipped,
            note=line(row.note, 300) if row.note else "",
            actor=line(row.actor, 60) if row.actor else _("the scheduler"),
        )
        for row in rows[:limit]
    ]
    return FiringHistory(firings=found, is_cut=len(rows) > limit)


def next_of(schedule: Schedule, now: dt.datetime) -> dict[str, Any]:
    """Return the stored rule in words, and its next firings as the preview of a form has them.

    A rule that can no longer be read has none: its time zone may have left the IANA database of this machine.
    """
    rule = rule_of(schedule)
    try:
        runs = shown_runs(rule.upcoming(now, NEXT))
    except InvalidSchedule:
        runs = []
    return {"words": rule_words(rule), "runs": runs}


def shown_runs(runs: list[dt.datetime]) -> list[dict[str, str]]:
    """Return firings for people: the local time with its zone, and in how long it comes."""
    return [{"moment": _local(run), "until": until(run)} for run in runs]


def _local(run: dt.datetime) -> str:
    """Return a firing in its own time zone. Where people read from right to left, its numbers keep their order."""
    numbers = left_to_right(f"{run:%Y-%m-%d %H:%M:%S}")
    return f"{date_format(run, 'D')} {numbers} {zone_of(run)}"


def facts_of(schedule: Any) -> list[tuple[str, Any]]:
    """Return the facts that no form changes."""
    owner = line(schedule.owner_name, 60) if schedule.owner_name else _("server code")
    kind = linked(schedule.type_url, line(schedule.job_type_id, 60))
    facts: list[tuple[str, Any]] = [(_("Type"), kind), (_("Submits in the name of"), owner)]
    if schedule.next_run_at is not None:
        shown = format_html("{}{}{}", until(schedule.next_run_at), comma(), moment(schedule.next_run_at))
        facts.append((_("Next firing"), shown))
    firing = ScheduleFiring.primary.filter(schedule_id=schedule.pk).order_by("-pk").first()
    if firing is None:
        return [*facts, (_("Last firing"), _("It has not fired yet."))]
    link = job_link(schedule.pages, firing, job_names([firing]).get(firing.job_id))
    return [*facts, (_("Last firing"), format_html("{} {} {}", outcome_badge(firing), ago(firing.fired_at), link))]


@dataclass(frozen=True, slots=True, kw_only=True)
class Declared:
    """What the code says of a schedule: ``follows`` are the fields that follow it; ``changed`` have both values."""

    is_in_code: bool
    follows: list[str]
    changed: list[tuple[str, Any, Any]]


def read_declared(schedule: Schedule, names: Names) -> Declared | None:
    """Return which fields an administrator changed and which follow the code; None where no code declared it."""
    if not isinstance(schedule.declared, dict):
        return None
    by_hand = changed_from(schedule, schedule.declared)
    changed = [
        (_title(name), _shown(name, getattr(schedule, name), names), _shown(name, said, names))
        for name, said in by_hand.items()
    ]
    follows = [_title(name) for name in schedule.declared if name not in by_hand and name != "job_type_id"]
    return Declared(is_in_code=is_declared(schedule.name), follows=follows, changed=changed)


def _title(name: str) -> str:
    field: Any = Schedule._meta.get_field(name.removesuffix("_id"))
    return str(field.verbose_name)


def _shown(name: str, value: Any, names: Names) -> SafeString | str:
    if name == "parameters":
        return as_json(masked(value, names), names)
    if isinstance(value, dt.datetime):
        return moment(value)
    return _("none") if value in (None, "") else line(str(value), 100)
