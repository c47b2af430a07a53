"""Bringing declared job types into the database, field by field, without undoing what administrators decided."""

from __future__ import annotations

import logging
from typing import Any, Final

from django.apps import apps as current_apps
from django.core.exceptions import ImproperlyConfigured, ValidationError
from django.db import connections, router

from django_jobs.engine import declarations
from django_jobs.engine.declarations import Declaration
from django_jobs.engine.handlers import path_problem
from django_jobs.models import JobType

logger = logging.getLogger("django_jobs")

SYNCED: Final = ("handler_method", *declarations.FIELDS)
MAX_TRIES: Final = 5


def problems(declaration: Declaration) -> list[str]:
    """What is wrong with a declaration, one sentence each."""
    found = [_field_problem("type_name", declaration.type_name), _field_problem("handler_method", declaration.path)]
    found.append(path_problem(declaration.path))
    found += [_field_problem(name, value) for name, value in declaration.fields.items()]
    found.append(_serializer_problem(declaration.serializer))
    return [problem for problem in found if problem]


def _field_problem(name: str, value: Any) -> str | None:
    try:
        _stored(name, value)
    except ValidationError as error:
        return f"{name}: {' '.join(error.messages)}"
    except (TypeError, ValueError):
        return f"{name}: {value!r} is no value of this field."
    return None


def _serializer_problem(serializer: Any) -> str | None:
    if serializer is None:
        return None
    from rest_framework.serializers import BaseSerializer, ListSerializer

    if isinstance(serializer, type) and issubclass(serializer, BaseSerializer) and serializer is not BaseSerializer:
        if not issubclass(serializer, ListSerializer):
            return None
        return f"parameters: {serializer.__name__} takes a list; parameters are an object."
    # No repr: that of a serializer reads the database.
    name = serializer.__name__ if isinstance(serializer, type) else f"an object of {type(serializer).__name__}"
    return f"parameters: {name} is no serializer class of the REST framework."


def _stored(name: str, value: Any) -> Any:
    """A field's value as JSON keeps it; ValidationError for a wrong one."""
    field: Any = JobType._meta.get_field(name)
    return field.get_prep_value(field.clean(value, None))


def _wanted(declaration: Declaration) -> dict[str, Any]:
    """Every field as the code wants it: what it says, and the defaults of what it does not say."""
    said = {name: _stored(name, value) for name, value in declaration.fields.items()}
    unsaid = {name: _default(name) for name in declarations.FIELDS} | declarations.DEFAULTS
    return unsaid | said | {"handler_method": declaration.path}


def _default(name: str) -> Any:
    field: Any = JobType._meta.get_field(name)
    return field.get_prep_value(field.get_default())


def sync_declared_types(*, using: str, apps: Any = current_apps, **kwargs: Any) -> None:
    """For ``post_migrate``: make the rows that are missing, update those whose declaration changed.

    A field that no longer holds what the code declared last was changed by an administrator and stays. A type that
    code declared once keeps its row, since it may have jobs. Raises ImproperlyConfigured for a wrong declaration.
    """
    try:
        model = apps.get_model("django_jobs", "JobType")
    except LookupError:
        return
    if not router.allow_migrate_model(using, model) or not _is_there(model, using):
        return
    rows = {row.pk: row for row in model._default_manager.using(using).all()}
    found = declarations.declared()
    _refuse_wrong(found)
    _create([declaration for declaration in found if declaration.type_name not in rows], model, using)
    for declaration in found:
        if declaration.type_name in rows:
            _update(rows[declaration.type_name], _wanted(declaration), model, using)
    _tell_undeclared(rows, {declaration.type_name for declaration in found})


def _is_there(model: Any, using: str) -> bool:
    """Whether the table exists: a migration may have been faked, or undone."""
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
    # Another process that migrates at this moment makes the same rows.
    model._default_manager.using(using).bulk_create(rows, ignore_conflicts=True)


def _known(values: dict[str, Any], model: Any) -> dict[str, Any]:
    """Without fields that the table does not have yet, in the middle of the migrations."""
    names = {field.name for field in model._meta.concrete_fields}
    return {name: value for name, value in values.items() if name in names}


def _update(row: Any, wanted: dict[str, Any], model: Any, using: str) -> None:
    """Change what the code has changed since, in one guarded statement: an administrator may be saving as well."""
    wanted = _known(wanted, model)
    for _ in range(MAX_TRIES):
        last = row.declared if isinstance(row.declared, dict) else {}
        if last == wanted:
            return
        held = {name: getattr(row, name) for name in wanted}
        changed = {
            name: value
            for name, value in wanted.items()
            # Of a row that was there before its declaration only what nobody had chosen counts as the code's.
            if held[name] != value and held[name] == last.get(name, _before(name))
        }
        guard = {name: held[name] for name in changed}
        rows = model._default_manager.using(using).filter(pk=row.pk, **guard)
        if rows.update(**changed, declared=wanted):
            logger.info("event=job_type_updated job_type=%s fields=%s", row.pk, ",".join(sorted(changed)))
            return
        row = model._default_manager.using(using).filter(pk=row.pk).first()
        if row is None:
            return


def _before(name: str) -> Any:
    return None if name == "handler_method" else _default(name)


def _tell_undeclared(rows: dict[str, Any], names: set[str]) -> None:
    for row in rows.values():
        if row.declared is not None and row.pk not in names and row.is_enabled:
            logger.warning(
                "event=job_type_no_longer_declared job_type=%s handler=%s its row stays: disable it, or delete it "
                "when it has no jobs",
                row.pk,
                row.handler_method,
            )
