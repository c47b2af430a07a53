"""Schedules that code declares beside a handler: rows as for the types, and what administrators have changed stays.

They are of no organization. A row of such a name that a person made is theirs: it stays, and is told.
"""

from __future__ import annotations

import datetime as dt
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from django.apps import apps as current_apps
from django.core.exceptions import ImproperlyConfigured
from django.db import transaction

from django_jobs.engine.job_types import types
from django_jobs.engine.job_types.declared_types import (
    Difference,
    as_json,
    changed_from,
    difference,
    model_in,
    notable,
)
from django_jobs.engine.job_types.types import Declaration
from django_jobs.engine.schedules import definitions
from django_jobs.engine.schedules.definitions import next_run
from django_jobs.engine.schedules.timetable import Every
from django_jobs.engine.store import database
from django_jobs.texts import code_of, say

logger = logging.getLogger("django_jobs")

#: What an item may say. A tenant is data, and an owner is a person: neither stands in code.
FIELDS: Final = tuple(name for name in definitions.FIELDS if name not in {"job_type", "organization"})


@dataclass(frozen=True, slots=True)
class DeclaredSchedule:
    """One item of a declaration: the row's name, the values of its columns, what is wrong, and where it stands."""

    name: str
    values: dict[str, Any]
    problems: tuple[str, ...]
    place: str


def declared_schedules() -> list[DeclaredSchedule]:
    """Return what code declares, in the order of the types; two of one name are wrong."""
    declared = [item for declaration in types.declared_types() for item in schedules_of(declaration)]
    first: dict[str, DeclaredSchedule] = {}
    for number, item in enumerate(declared):
        other = first.setdefault(item.name, item)
        if other is not item:
            text = say("name: %(name)r is declared by %(place)s too.", code="taken", name=item.name, place=other.place)
            declared[number] = DeclaredSchedule(item.name, item.values, (*item.problems, text), item.place)
    return declared


def schedules_of(declaration: Declaration) -> list[DeclaredSchedule]:
    """Return the schedules of one declaration. The first is named as the type, the others ``type-2`` and so on."""
    return [_judged(declaration, item, number) for number, item in enumerate(declaration.schedules, 1)]


def _judged(declaration: Declaration, item: Any, number: int) -> DeclaredSchedule:
    said = _said(item)
    named = f"{declaration.type_name}-{number}" if number > 1 else declaration.type_name
    if said is None:
        text = "schedule: %(given)r is no cron expression, no every(…) and no dict of schedule_job's keywords."
        text = say(text, code="not_a_schedule", given=item)
        return DeclaredSchedule(named, {}, (text,), declaration.place)
    values, problems = definitions.check_declared({"name": named, **said}, declaration.type_name, FIELDS)
    pattern = "schedule %(schedule)r: %(field)s: %(text)s"
    texts = tuple(
        say(pattern, code=code_of(messages[0]), schedule=named, field=field, text=" ".join(messages))
        for field, messages in problems.items()
    )
    return DeclaredSchedule(str(values.pop("name") or named), values, texts, declaration.place)


def _said(item: Any) -> dict[str, Any] | None:
    if isinstance(item, str):
        return {"cron": item}
    if isinstance(item, Every | dt.timedelta):
        return {"every": item}
    return dict(item) if isinstance(item, Mapping) else None


def sync_declared_schedules(*, using: str, apps: Any = current_apps, **kwargs: Any) -> list[Difference]:
    """Make the rows that are missing, update those whose declaration changed, and disable what is declared no more.

    For ``post_migrate``, after the types. A field that no longer holds what the code declared last was changed by an
    administrator and stays. Return what was found. Raises ImproperlyConfigured for a wrong declaration.
    """
    model = model_in("Schedule", using, apps)
    if model is None:
        return []
    wanted = _wanted()
    with transaction.atomic(using=using):
        rows = {row.name: row for row in _rows(model, using).select_for_update().order_by("pk")}
        taken = _taken(_rows(model, using))
        for text in taken.values():
            logger.error("event=schedule_name_taken %s", text)
        found = _differences(rows, wanted, taken)
        for item in found:
            if item.is_written:
                _write(item, rows.get(item.name), wanted.get(item.name, {}), model, using)
            elif item.is_undeclared:
                logger.warning("event=schedule_no_longer_declared schedule=%s it goes on as changed by hand", item.name)
    return found


def schedule_differences(*, using: str) -> list[Difference]:
    """Return what a synchronization would do, and what it would leave; nothing is written.

    Raises ImproperlyConfigured for a wrong declaration.
    """
    model = model_in("Schedule", using, current_apps)
    rows = {} if model is None else {row.name: row for row in _rows(model, using)}
    return _differences(rows, _wanted(), {} if model is None else _taken(_rows(model, using)))


def taken_names(*, using: str) -> list[str]:
    """Return a sentence for each declared schedule that cannot be made, since a person made one of its name."""
    model = model_in("Schedule", using, current_apps)
    return [] if model is None else list(_taken(_rows(model, using)).values())


def _taken(rows: Any) -> dict[str, str]:
    """Return a sentence for each declared name that another schedule has: on MariaDB "Night" has "night", too."""
    declared = [(item, rows.filter(name=item.name).first()) for item in declared_schedules()]
    return {
        item.name: f"The schedule {item.name!r} that {item.place} declares is not there: {row.owner_name or 'somebody'}"
        f" made {row.name!r} (its id is {row.pk}). Rename or delete that, or declare another name."
        for item, row in declared
        if row is not None and not (row.made_by_code and row.name == item.name)
    }


def _rows(model: Any, using: str) -> Any:
    """Return the schedules of no organization."""
    return model._default_manager.using(using).filter(organization__isnull=True)


def _wanted() -> dict[str, dict[str, Any]]:
    """Return the columns of each declared schedule by its name. Raises ImproperlyConfigured for a wrong one."""
    declared = declared_schedules()
    wrong = [f"{item.place}: {problem}" for item in declared for problem in item.problems]
    if wrong:
        raise ImproperlyConfigured("Wrong declarations of schedules: " + "; ".join(wrong))
    return {item.name: item.values for item in declared}


def _differences(rows: dict[str, Any], wanted: dict[str, dict[str, Any]], taken: Mapping[str, str]) -> list[Difference]:
    found = [difference(name, rows.get(name), values, {}) for name, values in wanted.items() if name not in taken]
    left = [row for name, row in rows.items() if name not in wanted and row.declared is not None and row.is_enabled]
    for row in left:
        kept = tuple(sorted(changed_from(row, row.declared)))
        found.append(Difference(name=row.name, is_undeclared=True, kept=kept, is_written=not kept))
    return notable(found)


def is_declared(name: str) -> bool:
    """Return whether code declares a schedule of this name now."""
    return any(item.name == name for item in declared_schedules())


def _write(item: Difference, row: Any, values: dict[str, Any], model: Any, using: str) -> None:
    now = database.now()
    if item.is_missing:
        anchor = now.replace(microsecond=0)
        row = model(name=item.name, made_by_code=True, declared=as_json(values), created_at=anchor, **values)
        row.next_run_at = next_run(row, now)
        model._default_manager.using(using).bulk_create([row], ignore_conflicts=True)
        logger.info("event=schedule_declared schedule=%s job_type=%s", item.name, values["job_type_id"])
        return
    if item.is_undeclared:
        row.is_enabled, row.declared = False, {**row.declared, "is_enabled": False}
        logger.warning("event=schedule_no_longer_declared schedule=%s it is disabled; delete it", item.name)
    else:
        row.declared = as_json(values)
        for name in item.fields:
            setattr(row, name, values[name])
    if item.is_undeclared or {*definitions.RULE, "is_enabled"}.intersection(item.fields):
        row.next_run_at = next_run(row, now)
    row.save(using=using)
    if item.fields:
        logger.info("event=schedule_updated schedule=%s fields=%s", item.name, ",".join(item.fields))
