"""Validating a type's parameters by the serializer of its declaration; a type without one takes any object.

The serializer belongs to the type's name, and is used for every submission, also where an administrator has given the
type another handler. The REST framework is imported only where a serializer is used.
"""

from __future__ import annotations

import copy
import logging
from collections.abc import Iterator, Mapping
from typing import Any, Final

from django.db import Error

from django_jobs.engine.job_types import declarations
from django_jobs.engine.job_types.masking import mask_of
from django_jobs.engine.json_storage import clean_text
from django_jobs.exceptions import PermanentError
from django_jobs.texts import code_of, say

logger = logging.getLogger("django_jobs")

ROOT: Final = "parameters"
MAX_FIELDS: Final = 50
MAX_KEY: Final = 200
MAX_TEXT: Final = 500

Errors = dict[str, list[str]]


def validate(type_name: str, parameters: Mapping[str, Any]) -> Errors:
    """Return what is wrong with these parameters (stored JSON) for this type; nothing when they are valid.

    The keys are ``parameters`` for the whole, and ``parameters.lines.0.sku`` and the like for what lies inside.
    An error inside the serializer refuses the parameters, except django.db.Error, which is raised.
    """
    serializer = _serializer(type_name, parameters)
    if serializer is None:
        return {}
    try:
        return {} if serializer.is_valid() else _flat(serializer.errors, parameters)
    except Error:
        raise
    except Exception as error:
        logger.exception("event=parameters_not_checked job_type=%s", type_name)
        text = "They could not be checked (%(error)s)."
        return {ROOT: [say(text, code="not_checked", error=type(error).__name__)]}


def validated_data(type_name: str, parameters: Mapping[str, Any]) -> Any:
    """Return what the type's serializer makes of stored parameters; for a type without one, the parameters.

    Raises PermanentError when they are not valid, for example after a deployment that demands more.
    """
    serializer = _serializer(type_name, parameters)
    if serializer is None:
        return parameters
    if not serializer.is_valid():
        errors = _flat(serializer.errors, parameters)
        raise PermanentError("; ".join(f"{key}: {' '.join(texts)}" for key, texts in errors.items()))
    return serializer.validated_data


def parameters_schema(type_name: str) -> dict[str, Any] | None:
    """Return the JSON Schema of the type's parameters; None without a serializer. No statement is made."""
    serializer_class = _serializer_class(type_name)
    if serializer_class is None:
        return None
    from django_jobs.engine.job_types.parameter_schema import schema_of

    try:
        return schema_of(serializer_class())
    except Exception:
        logger.exception("event=no_parameters_schema job_type=%s", type_name)
        return None


def parameter_names(type_name: str) -> frozenset[str] | None:
    """Return the names of the parameters that the type's serializer reads; None where nobody can tell."""
    return names_read_by(_serializer_class(type_name))


def names_read_by(serializer_class: Any) -> frozenset[str] | None:
    """Return the names of the fields that a serializer class takes from what is submitted; None where nobody can tell.

    That is so without a class, and with one that has no fields or whose code fails.
    """
    if serializer_class is None:
        return None
    try:
        fields = getattr(serializer_class(), "fields", None)
        return None if fields is None else frozenset(name for name, field in fields.items() if _is_read(field))
    except Exception:
        logger.exception("event=no_parameter_names serializer=%s", getattr(serializer_class, "__name__", "?"))
        return None


def _is_read(field: Any) -> bool:
    from rest_framework.serializers import HiddenField

    return not field.read_only and not isinstance(field, HiddenField)


def _serializer_class(type_name: str) -> Any:
    declaration = declarations.get(type_name)
    return None if declaration is None else declaration.serializer


def _serializer(type_name: str, parameters: Mapping[str, Any]) -> Any:
    """Return the serializer with a copy of the parameters, since its code may change what it is given."""
    serializer_class = _serializer_class(type_name)
    return None if serializer_class is None else serializer_class(data=copy.deepcopy(parameters))


def _flat(errors: Any, parameters: Any) -> Errors:
    """Return the REST framework's nested errors by dotted path, cut to what a person can read.

    A sensitive value is masked where an error quotes it: whoever runs a job again may not know its hidden values.
    """
    flat: Errors = {}
    mask = mask_of(parameters)
    for path, text in _walk(errors, ROOT):
        key = clean_text(path, MAX_KEY)
        if key not in flat and len(flat) == MAX_FIELDS:
            break
        flat.setdefault(key, []).append(_cut(mask(str(text)), text))
    return flat


def _cut(masked: str, text: object) -> str:
    """Return an error's text with its code."""
    from rest_framework.exceptions import ErrorDetail

    return ErrorDetail(clean_text(masked, MAX_TEXT), code_of(text))


def _walk(errors: Any, path: str) -> Iterator[tuple[str, object]]:
    if isinstance(errors, Mapping):
        for key, inner in errors.items():
            yield from _walk(inner, path if key == _whole() else f"{path}.{key}")
    elif isinstance(errors, list | tuple):
        for number, inner in enumerate(errors):
            # Texts in a list are errors of the field itself; anything else in it belongs to one item.
            yield from _walk(inner, path if isinstance(inner, str) else f"{path}.{number}")
    else:
        yield path, errors


def _whole() -> str:
    """Return the key of the REST framework for errors of an object as a whole."""
    from rest_framework.settings import api_settings

    return str(api_settings.NON_FIELD_ERRORS_KEY)
