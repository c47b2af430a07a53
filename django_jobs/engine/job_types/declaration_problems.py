"""What is wrong with a declaration of a job type: values that its row could not hold, and fields that do not fit."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.core.exceptions import ValidationError
from django.utils import translation

from django_jobs.engine.job_types.declarations import Declaration
from django_jobs.engine.job_types.handlers import path_problem
from django_jobs.engine.job_types.parameters import names_read_by
from django_jobs.models import JobType
from django_jobs.models.job_type_checks import NEEDS_KEY, key_problem, pool_problem
from django_jobs.texts import code_of, say


def problems(declaration: Declaration) -> list[str]:
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


def doubts(fields: Mapping[str, Any]) -> list[str]:
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
