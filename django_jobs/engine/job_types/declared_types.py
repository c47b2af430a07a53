"""Writing declared job types into the database, field by field; what administrators have changed stays."""

from __future__ import annotations

import logging
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, Final

from django.apps import apps as current_apps
from django.core.exceptions import ImproperlyConfigured
from django.db import connections, router

from django_jobs.engine.job_types import declarations
from django_jobs.engine.job_types.declaration_problems import problems, stored_value
from django_jobs.engine.job_types.declarations import Declaration
from django_jobs.engine.job_types.handlers import has_scheme
from django_jobs.models import JobType
from django_jobs.texts import say

logger = logging.getLogger("django_jobs")

MAX_TRIES: Final = 5


def _wanted(declaration: Declaration) -> dict[str, Any]:
    """Return every field as the code wants it: what it says, and defaults for what it does not say."""
    said = {name: stored_value(name, value) for name, value in declaration.fields.items()}
    unsaid = {name: _default(name) for name in declarations.FIELDS} | declarations.DEFAULTS
    return unsaid | said | {"handler_method": declaration.path}


def _default(name: str) -> Any:
    field: Any = JobType._meta.get_field(name)
    return field.get_prep_value(field.get_default())


def ensure(declaration: Declaration, *, using: str) -> None:
    """Make the row of a type that code meets only now, or bring it up to date; what an administrator changed stays.

    Of many processes that meet it at once, one makes the row. The declaration's values are good. Raises
    ImproperlyConfigured where the database takes the name for that of another type, whose handler it would get.
    """
    row = JobType._default_manager.using(using).filter(pk=declaration.type_name).first()
    if row is not None and row.pk != declaration.type_name:
        text = say(
            "%(name)s is the same name as %(other)s to this database, which ignores case: give one of them another "
            "name.",
            code="same_name",
            name=declaration.type_name,
            other=row.pk,
        )
        raise ImproperlyConfigured(text)
    if row is None:
        _create([declaration], JobType, using)
    else:
        _update(row, _wanted(declaration), JobType, using)


class NoTable(ImproperlyConfigured):
    """The database has no table of job types: nobody has migrated it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """How the row of a declared type differs from what the code says.

    ``fields`` will follow the code; ``kept`` were changed by an administrator and stay. ``is_written`` tells whether a
    synchronization writes the row; it may do so only to remember what the code says.
    """

    type_name: str
    is_missing: bool = False
    fields: tuple[str, ...] = ()
    kept: tuple[str, ...] = ()
    is_written: bool = True


def sync_declared_types(*, using: str, apps: Any = current_apps, **kwargs: Any) -> list[Difference]:
    """Make the rows that are missing, and update those whose declaration changed; for ``post_migrate``.

    Also those of tasks that are found, so that no transaction makes one, for which others would wait. A field that no
    longer holds what the code declared last was changed by an administrator and stays. A type that code declared once
    keeps its row, since it may have jobs. Return what was found, as :func:`differences` does. Raises
    ImproperlyConfigured for a wrong declaration.
    """
    model = _model_in(using, apps)
    if model is None:
        return []
    rows = {row.pk: row for row in model._default_manager.using(using).all()}
    found = declarations.declared()
    _refuse_wrong(found)
    elsewhere = declarations.found_elsewhere()
    found += elsewhere
    missing = [declaration for declaration in found if declaration.type_name not in rows]
    _create(missing, model, using)
    taken = _taken_names(elsewhere, rows, model, using)
    done = [Difference(type_name=item.type_name, is_missing=True) for item in missing if item.type_name not in taken]
    done += [
        _update(rows[declaration.type_name], _wanted(declaration), model, using)
        for declaration in found
        if declaration.type_name in rows
    ]
    _tell_undeclared(rows, {declaration.type_name for declaration in found})
    return _notable(done)


def differences(*, using: str, with_tasks: bool = True) -> list[Difference]:
    """Return what a synchronization would do, and what it would leave, by the type's name; nothing is written.

    Raises ImproperlyConfigured for a wrong declaration, and NoTable where there is no table of job types.
    """
    model = _model_in(using, current_apps)
    if model is None:
        raise NoTable(f"The database {using!r} has no table of job types; run `manage.py migrate`.")
    rows = {row.pk: row for row in model._default_manager.using(using).all()}
    found = declarations.declared()
    _refuse_wrong(found)
    elsewhere = declarations.found_elsewhere() if with_tasks else []
    found += elsewhere
    taken = _taken_names(elsewhere, rows, model, using)
    return _notable(
        [
            _difference(rows[item.type_name], _known(_wanted(item), model))
            if item.type_name in rows
            else Difference(type_name=item.type_name, is_missing=True)
            for item in found
            if item.type_name not in taken
        ]
    )


def undeclared(*, using: str) -> list[str]:
    """Return the enabled types that code declared once and declares no more."""
    names = {declaration.type_name for declaration in declarations.declared()}
    rows = JobType.objects.using(using).filter(is_enabled=True, declared__isnull=False).order_by("pk")
    found = rows.values_list("pk", "handler_method")
    return [name for name, path in found if name not in names and not has_scheme(path)]


def _notable(found: list[Difference]) -> list[Difference]:
    notable = [item for item in found if item.is_written or item.kept]
    return sorted(notable, key=lambda item: item.type_name)


def _model_in(using: str, apps: Any) -> Any:
    """Return the model of job types from ``apps``; None where this database has no table of it."""
    try:
        model = apps.get_model("django_jobs", "JobType")
    except LookupError:
        return None
    return model if router.allow_migrate_model(using, model) and _is_there(model, using) else None


def _is_there(model: Any, using: str) -> bool:
    """Return whether the table exists: a migration may have been faked, or undone."""
    return model._meta.db_table in connections[using].introspection.table_names()


def _refuse_wrong(found: list[Declaration]) -> None:
    wrong = [f"{item.type_name} ({item.place}): {problem}" for item in found for problem in problems(item)]
    wrong += [f"{name} is declared by {' and '.join(places)}" for name, places in declarations.duplicates().items()]
    if wrong:
        raise ImproperlyConfigured("Wrong declarations of job types: " + "; ".join(wrong))


def _create(missing: list[Declaration], model: Any, using: str) -> None:
    if not missing:
        return
    rows = []
    for declaration in missing:
        wanted = _known(_wanted(declaration), model)
        rows.append(model(type_name=declaration.type_name, declared=wanted, **wanted))
        logger.info("event=job_type_declared job_type=%s handler=%s", declaration.type_name, declaration.path)
    # Another process that migrates at this moment may make the same rows.
    model._default_manager.using(using).bulk_create(rows, ignore_conflicts=True)


def _taken_names(found: list[Declaration], known: Collection[str], model: Any, using: str) -> set[str]:
    """Return those names that this database takes for those of other types, as MariaDB does, which ignores case.

    Their tasks cannot be enqueued. The names that are ``known`` have rows of their own.
    """
    names = {declaration.type_name for declaration in found if declaration.type_name not in known}
    rows = model._default_manager.using(using)
    there = set(rows.filter(pk__in=names).values_list("pk", flat=True)) if names else set()
    taken = {name for name in sorted(names - there) if there and rows.filter(pk=name).exists()}
    for name in sorted(taken):
        logger.warning("event=job_type_left_out job_type=%s its name is that of another type to this database", name)
    return taken


def _known(values: dict[str, Any], model: Any) -> dict[str, Any]:
    """Return the values of fields that the table has: in the middle of migrations it may lack some."""
    names = {field.name for field in model._meta.concrete_fields}
    return {name: value for name, value in values.items() if name in names}


def _update(row: Any, wanted: dict[str, Any], model: Any, using: str) -> Difference:
    """Write what the code has changed, unless an administrator saves other values of these fields meanwhile."""
    wanted = _known(wanted, model)
    found = _difference(row, wanted)
    for _ in range(MAX_TRIES):
        if not found.is_written:
            break
        changed = {name: wanted[name] for name in found.fields}
        guard = {name: getattr(row, name) for name in changed}
        rows = model._default_manager.using(using).filter(pk=row.pk, **guard)
        if rows.update(**changed, declared=wanted):
            # Without any, the row only remembers what the code says now.
            if found.fields:
                logger.info("event=job_type_updated job_type=%s fields=%s", row.pk, ",".join(found.fields))
            break
        row = model._default_manager.using(using).filter(pk=row.pk).first()
        if row is None:
            return Difference(type_name=found.type_name, is_written=False)
        found = _difference(row, wanted)
    return found


def _difference(row: Any, wanted: dict[str, Any]) -> Difference:
    last = row.declared if isinstance(row.declared, dict) else {}
    differing = sorted(name for name, value in wanted.items() if getattr(row, name) != value)
    # Of a row that is older than its declaration, only fields with default values follow the code.
    held_by_code = {name for name in wanted if getattr(row, name) == last.get(name, _before(name))}
    is_written = last != wanted
    fields = tuple(name for name in differing if is_written and name in held_by_code)
    kept = tuple(name for name in differing if name not in fields)
    return Difference(type_name=row.pk, fields=fields, kept=kept, is_written=is_written)


def _before(name: str) -> Any:
    return None if name == "handler_method" else _default(name)


def _tell_undeclared(rows: dict[str, Any], names: set[str]) -> None:
    for row in rows.values():
        if row.declared is not None and row.pk not in names and row.is_enabled and not has_scheme(row.handler_method):
            logger.warning(
                "event=job_type_no_longer_declared job_type=%s handler=%s its row stays: disable it, or delete it "
                "when it has no jobs",
                row.pk,
                row.handler_method,
            )
