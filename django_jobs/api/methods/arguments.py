"""What a call was sent with: JSON, a form or the query, read into one dict."""

from __future__ import annotations

from typing import Any

from django.http import QueryDict
from rest_framework.exceptions import ValidationError
from rest_framework.utils import json

from django_jobs.api.serializers import FORM_EXTRAS
from django_jobs.texts import say


def arguments_of(request: Any) -> dict[str, Any]:
    """Return the fields of the body, and those of the query that the body does not have.

    ValidationError when the body is no object.
    """
    body = request.data
    if not hasattr(body, "keys"):
        text = say("Give an object (a dict) with the call's fields.", code="not_an_object")
        raise ValidationError({"non_field_errors": [text]})
    fields = _plain(request.query_params) | _plain(body)
    return {name: value for name, value in fields.items() if name not in FORM_EXTRAS}


def _plain(values: Any) -> dict[str, Any]:
    """The same as JSON would have it: a form's field that is repeated becomes a list."""
    if not isinstance(values, QueryDict):
        return dict(values)
    return {name: found if len(found) > 1 else found[0] for name, found in values.lists() if found}


def with_objects(fields: dict[str, Any]) -> dict[str, Any]:
    """Return the fields with ``parameters`` and ``metadata`` read from their text, which is how a form sends them.

    Fields that a form left empty are left out. ValidationError when a text is no JSON.
    """
    read = dict(fields)
    for name in ("parameters", "metadata"):
        if isinstance(fields.get(name), str):
            try:
                read[name] = json.loads(fields[name] or "null")
            except (ValueError, RecursionError) as error:
                raise ValidationError({name: [say("Value must be valid JSON.", code="not_json")]}) from error
    return {name: value for name, value in read.items() if value != "" or name in {"job_type", "organization"}}


def as_query(fields: dict[str, Any]) -> QueryDict:
    """Return the fields as a query string has them, which is what the filters of a list read."""
    query = QueryDict(mutable=True)
    for name, value in fields.items():
        query.setlist(name, [str(item) for item in (value if isinstance(value, list) else [value]) if item is not None])
    return query
