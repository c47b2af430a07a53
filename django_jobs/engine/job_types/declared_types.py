"""Writing declared job types into the database, and what is wrong with a declaration."""

from __future__ import annotations

import datetime as dt
import logging
from collections.abc import Iterable, Mapping
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
from django_jobs.engine.json_storage import is_same
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


# How rows differ from what the code says: what administrators have changed stays.


logger = logging.getLogger("django_jobs")

MAX_TRIES: Final = 5


class NoTable(ImproperlyConfigured):
    """The database has no table of job types: nobody has migrated it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """How the row of a declared type or schedule differs from what the code says.

    ``fields`` will follow the code; ``kept`` were changed by an administrator and stay. ``is_undeclared`` tells of a
    schedule that code declares no more: it will be disabled, unless an administrator changed it. ``is_written`` tells
    whether a synchronization writes the row; it may do so only to remember what the code says.
    """

    name: str
    is_missing: bool = False
    is_undeclared: bool = False
    fields: tuple[str, ...] = ()
    kept: tuple[str, ...] = ()
    is_written: bool = True


def difference(name: str, row: Any, wanted: Mapping[str, Any], before: Mapping[str, Any]) -> Difference:
    """Return how a row, if there is one, differs from the values that the code wants.

    ``before`` are values that a row has which is older than its declaration: fields with these follow the code.
    """
    if row is None:
        return Difference(name=name, is_missing=True)
    values, last = as_json(wanted), {**before, **(row.declared or {})}
    said = {field: last[field] for field in values if field in last}
    follow = said.keys() - changed_from(row, said)
    is_written = not is_same(row.declared, values)
    differing = sorted(changed_from(row, values))
    fields = tuple(field for field in differing if is_written and field in follow)
    kept = tuple(field for field in differing if field not in fields)
    return Difference(name=name, fields=fields, kept=kept, is_written=is_written)


def changed_from(row: Any, said: Mapping[str, Any]) -> dict[str, Any]:
    """Return what was ``said`` of fields that hold something else now."""
    now = as_json({field: getattr(row, field) for field in said})
    return {field: value for field, value in said.items() if not is_same(now[field], value)}


def as_json(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return a row's values as JSON keeps them."""
    return {name: value.isoformat() if isinstance(value, dt.datetime) else value for name, value in values.items()}


def notable(found: Iterable[Difference]) -> list[Difference]:
    """Return the differences of which something is to be told, by name."""
    return sorted((item for item in found if item.is_written or item.kept), key=lambda item: item.name)


def model_in(name: str, using: str, apps: Any) -> Any:
    """Return a model of ours from ``apps``; None where this database has no table of it, or one of an older release."""
    try:
        model = apps.get_model("django_jobs", name)
    except LookupError:
        return None
    columns, of_this_release = (
        {field.column for field in kind._meta.concrete_fields}
        for kind in (model, current_apps.get_model("django_jobs", name))
    )
    # A migration may have been faked, or undone.
    has_table = model._meta.db_table in connections[using].introspection.table_names()
    return model if router.allow_migrate_model(using, model) and has_table and columns >= of_this_release else None


# Writing declared job types into the database, field by field.


def _wanted(declaration: Declaration) -> dict[str, Any]:
    """Return every field as the code wants it: what it says, and defaults for what it does not say."""
    said = {name: stored_value(name, value) for name, value in declaration.fields.items()}
    return _defaults() | types.DECLARED_DEFAULTS | said | {"handler_method": declaration.path}


def _defaults() -> dict[str, Any]:
    fields: list[Any] = [JobType._meta.get_field(name) for name in types.DECLARED_FIELDS]
    return {field.name: field.get_prep_value(field.get_default()) for field in fields}


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
    wanted = _wanted(declaration)
    _write(difference(declaration.type_name, row, wanted, _defaults()), wanted, JobType, using)


def sync_declared_types(*, using: str, apps: Any = current_apps, **kwargs: Any) -> list[Difference]:
    """Make the rows that are missing, and update those whose declaration changed; for ``post_migrate``.

    Also those of tasks that are found, so that no transaction makes one, for which others would wait. A field that no
    longer holds what the code declared last was changed by an administrator and stays. A type that code declared once
    keeps its row, since it may have jobs. Return what was found, as :func:`type_differences` does. Raises
    ImproperlyConfigured for a wrong declaration.
    """
    model = model_in("JobType", using, apps)
    if model is None:
        return []
    wanted, found = _compare(model, using, with_tasks=True)
    for name in undeclared_types(using=using):
        logger.warning(
            "event=job_type_no_longer_declared job_type=%s its row stays: disable it, or delete it when it has no jobs",
            name,
        )
    done = [_write(item, wanted[item.name], model, using) for item in found]
    taken = _taken_names({item.name for item in done if item.is_missing}, model._default_manager.using(using))
    return notable(item for item in done if item.name not in taken)


def type_differences(*, using: str, with_tasks: bool = True) -> list[Difference]:
    """Return what a synchronization would do, and what it would leave, by the type's name; nothing is written.

    Raises ImproperlyConfigured for a wrong declaration, and NoTable where there is no table of job types.
    """
    model = model_in("JobType", using, current_apps)
    if model is None:
        raise NoTable(f"The database {using!r} has no table of job types; run `manage.py migrate`.")
    return notable(_compare(model, using, with_tasks=with_tasks)[1])


def undeclared_types(*, using: str) -> list[str]:
    """Return the enabled types that code declared once and declares no more."""
    names = {declaration.type_name for declaration in types.declared_types()}
    rows = JobType.objects.using(using).filter(is_enabled=True, declared__isnull=False).order_by("pk")
    found = rows.values_list("pk", "handler_method")
    return [name for name, path in found if name not in names and not has_scheme(path)]


def _compare(model: Any, using: str, *, with_tasks: bool) -> tuple[dict[str, dict[str, Any]], list[Difference]]:
    """Return what the code wants of each type, and how the rows differ from that."""
    declared = types.declared_types()
    _refuse_wrong(declared)
    tasks = types.found_elsewhere() if with_tasks else []
    rows = model._default_manager.using(using)
    present = {row.pk: row for row in rows.all()}
    taken = _taken_names({item.type_name for item in tasks} - present.keys(), rows)
    wanted = {item.type_name: _wanted(item) for item in (*declared, *tasks) if item.type_name not in taken}
    before = _defaults()
    return wanted, [difference(name, present.get(name), values, before) for name, values in wanted.items()]


def _refuse_wrong(found: list[Declaration]) -> None:
    wrong = [f"{item.type_name} ({item.place}): {problem}" for item in found for problem in declaration_problems(item)]
    wrong += [
        f"{name} is declared by {' and '.join(places)}" for name, places in types.duplicate_declarations().items()
    ]
    if wrong:
        raise ImproperlyConfigured("Wrong declarations of job types: " + "; ".join(wrong))


def _taken_names(missing: set[str], rows: Any) -> set[str]:
    """Return those names that this database takes for those of other types, as MariaDB does, which ignores case.

    Their tasks cannot be enqueued.
    """
    there = set(rows.filter(pk__in=missing).values_list("pk", flat=True))
    taken = {name for name in missing - there if there and rows.filter(pk=name).exists()}
    for name in sorted(taken):
        logger.warning("event=job_type_left_out job_type=%s its name is that of another type to this database", name)
    return taken


def _write(item: Difference, wanted: dict[str, Any], model: Any, using: str) -> Difference:
    """Write what the code has changed, unless an administrator saves other values of these fields meanwhile."""
    every = model._default_manager.using(using)
    if item.is_missing:
        # Another process that migrates at this moment may make the same row.
        every.bulk_create([model(type_name=item.name, declared=wanted, **wanted)], ignore_conflicts=True)
        logger.info("event=job_type_declared job_type=%s handler=%s", item.name, wanted["handler_method"])
        return item
    for _ in range(MAX_TRIES if item.is_written else 0):
        row = every.filter(pk=item.name).first()
        if row is None:
            return Difference(name=item.name, is_written=False)
        item = difference(item.name, row, wanted, _defaults())
        rows = every.filter(pk=row.pk, **{name: getattr(row, name) for name in item.fields})
        if rows.update(declared=wanted, **{name: wanted[name] for name in item.fields}):
            # Without any, the row only remembers what the code says now.
            if item.fields:
                logger.info("event=job_type_updated job_type=%s fields=%s", row.pk, ",".join(item.fields))
            break
    return item
