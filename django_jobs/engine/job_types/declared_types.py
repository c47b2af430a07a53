"""Writing declared job types into the database, and what is wrong with a declaration."""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, Final

from django.apps import apps as current_apps
from django.core.exceptions import ImproperlyConfigured, ValidationError
from django.db import connections, router
from django.utils import translation

from django_jobs.engine.job_types import types
from django_jobs.engine.job_types.handlers import has_scheme, path_problem
from django_jobs.engine.job_types.parameters import names_read_by
from django_jobs.engine.job_types.types import Declaration
from django_jobs.models import JobType
from django_jobs.models.job_type import NEEDS_KEY, key_problem, pool_problem
from django_jobs.texts import code_of, say

# For how long ended jobs are kept, where a type says otherwise than the setting.


def own_retention_days() -> dict[str, int]:
    """Return the days of each type that has its own in the place of RETENTION_DAYS, by the type's name."""
    rows = JobType.primary.filter(retention_days__isnull=False).order_by("pk")
    return {name: int(days or 0) for name, days in rows.values_list("pk", "retention_days")}


# What is wrong with a declaration of a job type: values that its row could not hold, and fields that do not fit.


def declaration_problems(declaration: Declaration) -> list[str]:
    """Return what is wrong with a declaration, one sentence for each mistake."""
    found = [_field_problem("type_name", declaration.type_name), _field_problem("handler_method", declaration.path)]
    found.append(path_problem(declaration.path))
    found += [_field_problem(name, value) for name, value in declaration.fields.items()]
    serializer_problem = _serializer_problem(declaration.serializer)
    found += [serializer_problem] if serializer_problem else _key_problems(declaration)
    return [problem for problem in found if problem]


def value_problems(fields: Mapping[str, Any]) -> list[str]:
    """Return what is wrong with values of a type's fields, one sentence for each."""
    return [problem for name, value in fields.items() if (problem := _field_problem(name, value))]


def declaration_doubts(fields: Mapping[str, Any]) -> list[str]:
    """Return what is wrong between declared fields and the settings, which may change alone: no reason to stop."""
    pool = fields.get("pool")
    problem = pool_problem(pool) if isinstance(pool, str) else None
    return [_of_field("pool", problem, code_of(problem))] if problem else []


def _key_problems(declaration: Declaration) -> list[str]:
    """Return what is wrong with the concurrency key beside the other fields."""
    key = declaration.fields.get("concurrency_key", "")
    if not key and declaration.fields.get("max_starts_per_key") is not None:
        return [_of_field("max_starts_per_key", NEEDS_KEY, NEEDS_KEY.code)]
    problem = key_problem(key, names_read_by(declaration.serializer)) if key and isinstance(key, str) else None
    return [_of_field("concurrency_key", problem, code_of(problem))] if problem else []


def _field_problem(name: str, value: Any) -> str | None:
    try:
        stored_value(name, value)
    except ValidationError as error:
        return _of_field(name, " ".join(error.messages), error.error_list[0].code or "invalid")
    except (TypeError, ValueError):
        return _of_field(name, f"{value!r} is no value of this field.", "invalid")
    return None


def _of_field(name: str, text: str, code: str) -> str:
    return say("%(field)s: %(text)s", code=code, field=name, text=text)


def _serializer_problem(serializer: Any) -> str | None:
    if serializer is None:
        return None
    from rest_framework.serializers import BaseSerializer, ListSerializer

    if isinstance(serializer, type) and issubclass(serializer, BaseSerializer) and serializer is not BaseSerializer:
        if not issubclass(serializer, ListSerializer):
            return None
        return _of_field("parameters", f"{serializer.__name__} takes a list; parameters are an object.", "a_list")
    # Its repr is not used: that of a serializer reads the database.
    name = serializer.__name__ if isinstance(serializer, type) else f"an object of {type(serializer).__name__}"
    return _of_field("parameters", f"{name} is no serializer class of the REST framework.", "not_a_serializer")


def stored_value(name: str, value: Any) -> Any:
    """Return a field's value as JSON keeps it. Raise ValidationError for a wrong one."""
    field: Any = JobType._meta.get_field(name)
    with translation.override(None):  # a lazy text is stored as the code has it, whoever brings it into the database
        return field.get_prep_value(field.clean(value, None))


# Writing declared job types into the database, field by field; what administrators have changed stays.


logger = logging.getLogger("django_jobs")

MAX_TRIES: Final = 5


def _wanted(declaration: Declaration) -> dict[str, Any]:
    """Return every field as the code wants it: what it says, and defaults for what it does not say."""
    said = {name: stored_value(name, value) for name, value in declaration.fields.items()}
    unsaid = {name: _default(name) for name in types.DECLARED_FIELDS} | types.DECLARED_DEFAULTS
    return unsaid | said | {"handler_method": declaration.path}


def _default(name: str) -> Any:
    field: Any = JobType._meta.get_field(name)
    return field.get_prep_value(field.get_default())


def ensure_type(declaration: Declaration, *, using: str) -> None:
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
    found = types.declared_types()
    _refuse_wrong(found)
    elsewhere = types.found_elsewhere()
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


def type_differences(*, using: str, with_tasks: bool = True) -> list[Difference]:
    """Return what a synchronization would do, and what it would leave, by the type's name; nothing is written.

    Raises ImproperlyConfigured for a wrong declaration, and NoTable where there is no table of job types.
    """
    model = _model_in(using, current_apps)
    if model is None:
        raise NoTable(f"The database {using!r} has no table of job types; run `manage.py migrate`.")
    rows = {row.pk: row for row in model._default_manager.using(using).all()}
    found = types.declared_types()
    _refuse_wrong(found)
    elsewhere = types.found_elsewhere() if with_tasks else []
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


def undeclared_types(*, using: str) -> list[str]:
    """Return the enabled types that code declared once and declares no more."""
    names = {declaration.type_name for declaration in types.declared_types()}
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
    wrong = [f"{item.type_name} ({item.place}): {problem}" for item in found for problem in declaration_problems(item)]
    wrong += [
        f"{name} is declared by {' and '.join(places)}" for name, places in types.duplicate_declarations().items()
    ]
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
