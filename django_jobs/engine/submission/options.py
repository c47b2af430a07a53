"""What few submissions say: each option judged by itself, and made storable."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping
from typing import Any, Final, NamedTuple

from django.utils import timezone

from django_jobs.engine.json_storage import clean_text, is_storable_text
from django_jobs.engine.submission.errors import Errors
from django_jobs.models import Batch
from django_jobs.models.batch import parse_batch_id
from django_jobs.models.job_type import MAX_SECONDS
from django_jobs.statuses import RunAfter
from django_jobs.texts import say

#: Characters.
MAX_UNIQUE_KEY: Final = 200
MAX_RETRIES: Final = 100
#: What happens where the same work is there already: it is refused, given back, or changed to what is asked for now.
ON_DUPLICATE: Final = ("raise", "return", "replace")
#: Few submissions say one of these. None stands for what the job type says.
_OPTIONS: Final = ("unique_key", "deduplication_window", "timeout", "max_retries", "expires_at", "batch")
_ALL_OPTIONS: Final = frozenset({*_OPTIONS, "on_duplicate", "run_after"})


class BatchName(NamedTuple):
    """A batch that a submission names: its primary key, and the id that it must have."""

    pk: int
    batch_id: str


def check_moment(value: object, field: str, errors: Errors) -> dt.datetime | None:
    """Return the moment in UTC. A value that is no datetime, or has no time zone, is an error of the field."""
    if value is None:
        return None
    if not isinstance(value, dt.datetime) or timezone.is_naive(value):
        errors[field] = [say("Give a datetime with a time zone.", code="not_aware")]
        return None
    try:
        return value.astimezone(dt.UTC)
    except OverflowError:
        errors[field] = [say("This moment is out of range.", code="out_of_range")]
        return None


def readable(value: object) -> str:
    """Return a value as an error may quote it."""
    try:
        return repr(value)
    except Exception:  # noqa: BLE001  (a number of 10,000 digits, an object with a repr of its own)
        return f"This {type(value).__name__}"


def check_options(given: Mapping[str, Any], errors: Errors) -> dict[str, Any]:
    """Return the options that are given, as :class:`~.fields.Fields` takes them; nothing where none is."""
    if given.keys().isdisjoint(_ALL_OPTIONS):
        return {}
    on_duplicate, run_after = given.get("on_duplicate", "raise"), given.get("run_after", RunAfter.COMPLETED)
    if (
        on_duplicate == "raise"
        and run_after == RunAfter.COMPLETED
        and all(given.get(name) is None for name in _OPTIONS)
    ):
        return {}
    return {
        "on_duplicate": _check_word("on_duplicate", on_duplicate, ON_DUPLICATE, errors),
        "unique_key": _check_unique_key(given.get("unique_key"), errors),
        "deduplication_window": _check_number(given, "deduplication_window", 0, MAX_SECONDS, errors),
        "timeout": _check_number(given, "timeout", 1, MAX_SECONDS, errors),
        "max_retries": _check_number(given, "max_retries", 0, MAX_RETRIES, errors),
        "expires_at": _check_expiry(given, errors),
        "run_after": _check_word("run_after", run_after, RunAfter.values, errors),
        "batch": _check_batch(given.get("batch"), errors),
    }


def _check_batch(value: object, errors: Errors) -> BatchName | None:
    if value is None:
        return None
    name = value.batch_id if isinstance(value, Batch) and value.pk is not None else value
    parsed = parse_batch_id(name)
    if parsed is None:
        value = clean_text(readable(name), 100)
        text = say("%(value)s is not a batch id such as BATCH-2026-00001.", code="not_a_batch_id", value=value)
        errors["batch"] = [text]
        return None
    return BatchName(parsed[0], str(name))


def _check_word(field: str, value: object, words: Iterable[str], errors: Errors) -> str:
    if isinstance(value, str) and value in words:
        return str(value)
    *others, last = map(repr, map(str, words))
    errors[field] = [say(f"Use {', '.join(others)} or {last}.", code="invalid_choice")]
    return ""


def _check_unique_key(value: object, errors: Errors) -> str | None:
    if value is None:
        return None
    if not isinstance(value, str) or not 0 < len(value) <= MAX_UNIQUE_KEY or not is_storable_text(value):
        errors["unique_key"] = [
            say("Give a text of 1 to %(most)d characters.", code="wrong_length", most=MAX_UNIQUE_KEY)
        ]
        return None
    return value


def _check_number(given: Mapping[str, Any], field: str, least: int, most: int, errors: Errors) -> int | None:
    value = given.get(field)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        text = "Give a whole number from %(least)d to %(most)d."
        errors[field] = [say(text, code="out_of_range", least=least, most=most)]
        return None
    return value


def _check_expiry(given: Mapping[str, Any], errors: Errors) -> dt.datetime | None:
    """Refuse a job that can never start. The clock is this process's: the database's would cost a statement."""
    moment = check_moment(given.get("expires_at"), "expires_at", errors)
    if moment is None:
        return None
    run_at = given.get("run_at")
    if moment <= timezone.now():
        errors["expires_at"] = [say("Give a moment in the future.", code="past")]
    elif isinstance(run_at, dt.datetime) and not timezone.is_naive(run_at) and moment <= run_at:
        text = say("Give a moment after run_at: it would expire before it may run.", code="before_run_at")
        errors["expires_at"] = [text]
    return moment
