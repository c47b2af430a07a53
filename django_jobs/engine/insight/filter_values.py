"""The values by which jobs are filtered: how each is read from text or JSON, and stored as JSON again.

A reader raises ValueError with a sentence for people, and its code, where a value cannot be.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterable
from typing import Any, Final, TypeVar

from django.core.exceptions import ValidationError
from django.utils.dateparse import parse_datetime
from django.utils.timezone import is_naive, make_aware
from django.utils.translation import gettext as _

from django_jobs.engine.insight.parameter_values import path_of
from django_jobs.engine.json_storage import clean_text, unstorable_part
from django_jobs.models import get_organization_model
from django_jobs.models.batch import format_batch_id, parse_batch_id
from django_jobs.models.job import format_job_id, parse_job_id
from django_jobs.statuses import Priority, Status
from django_jobs.texts import say

T = TypeVar("T")
#: A primary key and the year of the row's making, which an id such as ``JOB-2026-00001`` tells.
Id = tuple[int, int]

#: The path of a parameter, and its value as people type it.
Pair = tuple[tuple[str, ...], str]

#: Values of one filter: as many as the admin acts on at once.
MAX_VALUES: Final = 500
#: Characters of a text.
MAX_TEXT: Final = 200


def several(read: Callable[[Any], T]) -> Callable[[Any], tuple[T, ...] | None]:
    """Return a reader of one value or a list of up to MAX_VALUES; None where none is given."""

    def read_all(given: Any) -> tuple[T, ...] | None:
        values = [item for item in (given if isinstance(given, list | tuple) else [given]) if item not in ("", None)]
        if len(values) > MAX_VALUES:
            raise ValueError(say(_("At most %(most)s values are accepted."), code="too_many", most=MAX_VALUES))
        return tuple(dict.fromkeys(read(item) for item in values)) or None

    return read_all


def read_text(value: Any) -> str | None:
    """Return a text of up to MAX_TEXT characters; None for a blank one."""
    if not isinstance(value, str):
        raise ValueError(say(_("Give a text."), code="not_a_text"))
    if len(value) > MAX_TEXT:
        raise ValueError(say(_("Give at most %(most)s characters."), code="too_long", most=MAX_TEXT))
    return read_name(value).strip() or None


def read_fingerprint(value: Any) -> str:
    """Return a fingerprint; the blank one is that of errors without a text."""
    return "" if value == "" else read_text(value) or ""


def restore_text(value: Any) -> str | None:
    """Return a stored text as it is, blanks included; None for an empty one."""
    return read_name(value) or None


def read_name(text: Any) -> str:
    """Return the text; ValueError when no row can hold it."""
    if not isinstance(text, str):
        raise ValueError(say(_("Give a text."), code="not_a_text"))
    if "\x00" in text:
        raise ValueError(say("Null characters are not allowed.", code="unstorable_text"))
    if unstorable_part(text):
        raise ValueError(say("Lone surrogates are not allowed.", code="unstorable_text"))
    return text


def read_flag(value: Any) -> bool | None:
    """Return True for true, and None for false, which asks for nothing."""
    if not isinstance(value, bool):
        raise ValueError(say(_("Give true or false."), code="not_true_or_false"))
    return value or None


def read_choice(value: Any) -> bool:
    """Return true or false."""
    if not isinstance(value, bool):
        raise ValueError(say(_("Give true or false."), code="not_true_or_false"))
    return value


def read_number(value: Any) -> int:
    """Return a whole number above zero, such as a primary key."""
    if not isinstance(value, int) or isinstance(value, bool) or not 0 < value < 2**63:
        raise ValueError(say(_("Give a number."), code="not_a_number"))
    return value


def read_status(text: Any) -> str:
    """Return the text; ValueError when it is no status."""
    if text not in Status.values:
        pattern = "%(value)r is not a status; use %(choices)s."
        raise ValueError(
            say(pattern, code="not_a_status", value=clean_text(text, 50), choices=", ".join(Status.values))
        )
    return str(text)


def read_priority(value: Any) -> int:
    """Return the number of a priority that a label or a number names."""
    try:
        return int(Priority.parse(value))
    except ValueError as error:
        text = say("Use one of %(choices)s.", code="invalid_choice", choices=", ".join(Priority.words()))
        raise ValueError(text) from error


def read_job_id(text: Any) -> Id:
    """Return the key and the year of a job id; ValueError when the text is none."""
    parsed = parse_job_id(text)
    if parsed is None:
        pattern = "%(value)r is not a job id such as JOB-2026-00001."
        raise ValueError(say(pattern, code="not_a_job_id", value=clean_text(text, 50)))
    return parsed


def write_job_ids(ids: Iterable[Id]) -> list[str]:
    """Return the job ids as text."""
    return [format_job_id(*item) for item in ids]


def read_batch_id(text: Any) -> Id:
    """Return the key and the year of a batch id; ValueError when the text is none."""
    parsed = parse_batch_id(text.strip() if isinstance(text, str) else text)
    if parsed is None:
        pattern = "%(value)r is not a batch id such as BATCH-2026-00001."
        raise ValueError(say(pattern, code="not_a_batch_id", value=clean_text(text, 50)))
    return parsed


def write_batch_id(item: Id) -> str:
    """Return the batch id as text."""
    return format_batch_id(*item)


def read_moment(value: Any) -> dt.datetime:
    """Return a moment in UTC, of ISO 8601; one without a zone is in the current one."""
    try:
        found = value if isinstance(value, dt.datetime) else parse_datetime(value)
        if found is None:
            raise ValueError(value)
        return (make_aware(found) if is_naive(found) else found).astimezone(dt.UTC)
    except (ValueError, TypeError) as error:
        raise ValueError(say(_("Give a moment such as 2026-01-31T08:00:00Z."), code="not_a_moment")) from error
    except OverflowError as error:
        raise ValueError(say("This moment is out of range.", code="out_of_range")) from error


def write_moment(moment: dt.datetime) -> str:
    """Return the moment as ISO 8601."""
    return moment.isoformat()


def read_organization_pk(value: Any) -> Any:
    """Return the primary key of an organization that a stored value stands for."""
    try:
        return get_organization_model()._meta.pk.to_python(value)
    except ValidationError as error:
        raise ValueError(say(_("This is no key of an organization."), code="not_a_key")) from error


def write_organization_pks(pks: Iterable[Any]) -> list[Any]:
    """Return primary keys as JSON has them: numbers as they are, others as text."""
    return [pk if isinstance(pk, int) else str(pk) for pk in pks]


def read_parameters(value: Any) -> tuple[Pair, ...] | None:
    """Return the wanted values of parameters, of an object or of texts such as ``customer.id:17``."""
    if isinstance(value, dict):
        pairs = [(path, _simple(item)) for path, item in value.items()]
    else:
        texts = value if isinstance(value, list | tuple) else [value]
        pairs = [_pair(item) for item in texts if item not in ("", None)]
    if len(pairs) > MAX_VALUES:
        raise ValueError(say(_("At most %(most)s values are accepted."), code="too_many", most=MAX_VALUES))
    return tuple((_path(name), text) for name, text in pairs) or None


def restore_parameters(value: Any) -> tuple[Pair, ...] | None:
    """Return the stored values of parameters with their blanks; some are stored as an object."""
    if not isinstance(value, list):
        return read_parameters(value)
    found = [read_name(text).partition(":") for text in value]
    return tuple((_path(name), text) for name, _colon, text in found) or None


def write_parameters(pairs: Iterable[Pair]) -> list[str]:
    """Return the wanted values as texts such as ``customer.id:17``, since a name may have several."""
    return [f"{'.'.join(path)}:{text}" for path, text in pairs]


def _pair(text: Any) -> tuple[str, str]:
    name, colon, value = text.partition(":") if isinstance(text, str) else ("", "", "")
    if not colon or not name.strip():
        raise ValueError(say(_("Write a parameter as name:value."), code="not_a_parameter"))
    return name.strip(), read_name(value.strip())


def _path(name: Any) -> tuple[str, ...]:
    found = path_of(name) if isinstance(name, str) else None
    if found is None:
        raise ValueError(say(_("Name a parameter, or a path such as customer.id."), code="not_a_path"))
    return found


def _simple(value: Any) -> str:
    """Return a value as people would type it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if not isinstance(value, str | int | float):
        raise ValueError(say(_("Compare a parameter with a text or a number."), code="not_simple"))
    return read_name(str(value))
