"""A type's parameters: their checks, and the lane that they give a job."""

from __future__ import annotations

import copy
import hashlib
import logging
from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Any, Final

from django.db import Error

from django_jobs.engine.job_types import types
from django_jobs.engine.job_types.masking import mask_of
from django_jobs.engine.json_storage import canonical, clean_text
from django_jobs.exceptions import PermanentError
from django_jobs.models import JobType
from django_jobs.texts import code_of, say

# The lane of a job: jobs of a type and organization that have the same value of the type's concurrency key share one.
#
# Two values are the same where JSON has them the same: the order of an object's keys does not matter, and a number is
# one number however it is written, so that 1 and 1.0 share a lane, and the text "1" has another. A parameter that is
# missing counts as null.


#: The lane of all jobs of a type without a concurrency key.
NO_KEY: Final = 0


def lane_key(concurrency_key: str, parameters: Mapping[str, Any]) -> int:
    """Return the lane of a job with these stored parameters: a signed number of 64 bits, 0 only without a key.

    It is a hash of the key's name and the canonical JSON of its value. Two values that collide share a lane, so that
    one may wait for the other without need. Among a billion values the chance that any two do is 3 %.
    """
    if not concurrency_key:
        return NO_KEY
    text = canonical([concurrency_key, _plain(parameters.get(concurrency_key))])
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), signed=True) or 1


def _plain(value: Any) -> Any:
    """Return the value with whole numbers as integers: not every database tells which of the two was stored.

    Of a large one those are its digits as JSON writes them, since PostgreSQL gives back 1e30 as 10**30, not as the
    float that is nearest to it.
    """
    if isinstance(value, float):
        return int(Decimal(repr(value))) if value.is_integer() else value
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, list) else value


def is_rekeyed(kind: JobType) -> bool:
    """Return whether all unfinished jobs of a type have the lanes that its concurrency key says.

    Where not, the scheduler sees to it (``engine.control.lane_keys``); until then nobody can tell by the lanes how many
    jobs run for each value of the key.
    """
    return kind.keyed_by == kind.concurrency_key


# Validating a type's parameters by the serializer of its declaration; a type without one takes any object.
#
# The serializer belongs to the type's name, and is used for every submission, also where an administrator has given the
# type another handler. The REST framework is imported only where a serializer is used.


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
    from django_jobs.engine.job_types.schema import schema_of

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
    declaration = types.declaration_of(type_name)
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
