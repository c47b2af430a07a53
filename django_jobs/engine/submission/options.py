"""What a single submission says beside its work: in place of the type's settings, and about work that is there already.

Each value is judged by itself here; what depends on the type is judged in ``requests``.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final, TypedDict

from django.utils import timezone

from django_jobs.engine.json_storage import is_storable_text
from django_jobs.engine.submission.errors import Errors
from django_jobs.models import Job
from django_jobs.models.job_type import MAX_SECONDS
from django_jobs.statuses import RunAfter

MAX_UNIQUE_KEY: Final = 200
MAX_RETRIES: Final = 100
#: What happens where the same work is there already: refused, given back, or changed to what is asked for now.
ON_DUPLICATE: Final = ("raise", "return", "replace")


class SubmissionFields(TypedDict, total=False):
    """The keywords of :func:`django_jobs.submit_job` that a submission may have beside type, organization and user."""

    priority: str | int | None
    depends_on: str | Job | Iterable[str | Job] | None
    run_at: dt.datetime | None
    metadata: Mapping[str, Any] | None
    on_duplicate: str
    unique_key: str | None
    deduplication_window: int | None
    timeout: int | None
    max_retries: int | None
    expires_at: dt.datetime | None
    run_after: str


class ContextFields(SubmissionFields, total=False):
    """The same through a handler's context, where the owner of the running job is the user unless another is named."""

    user: Any


#: All that one item of many may say.
FIELDS: Final = ("job_type", "organization", "parameters", *SubmissionFields.__annotations__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """The options that were found good. None stands for what the job type says."""

    on_duplicate: str = "raise"
    unique_key: str | None = None
    window: int | None = None
    timeout: int | None = None
    max_retries: int | None = None
    expires_at: dt.datetime | None = None
    run_after: str = RunAfter.COMPLETED


_NONE: Final = Options()
_NAMES: Final = ("unique_key", "deduplication_window", "timeout", "max_retries", "expires_at")


def check_options(fields: Mapping[str, Any], errors: Errors) -> Options:
    """Judge the options among a submission's fields; what is wrong goes into ``errors``."""
    on_duplicate, run_after = fields.get("on_duplicate", "raise"), fields.get("run_after", RunAfter.COMPLETED)
    if on_duplicate == "raise" and run_after == RunAfter.COMPLETED and all(fields.get(name) is None for name in _NAMES):
        return _NONE
    return Options(
        on_duplicate=_check_word("on_duplicate", on_duplicate, ON_DUPLICATE, errors),
        unique_key=_check_unique_key(fields.get("unique_key"), errors),
        window=_check_number(fields, "deduplication_window", 0, MAX_SECONDS, errors),
        timeout=_check_number(fields, "timeout", 1, MAX_SECONDS, errors),
        max_retries=_check_number(fields, "max_retries", 0, MAX_RETRIES, errors),
        expires_at=_check_expiry(fields, errors),
        run_after=_check_word("run_after", run_after, RunAfter.values, errors),
    )


def refuse_unknown(call: str, keywords: Iterable[str]) -> None:
    """TypeError for keywords that a submission does not have."""
    unknown = sorted(set(keywords) - set(SubmissionFields.__annotations__))
    if unknown:
        raise TypeError(f"{call}() got an unexpected keyword argument {unknown[0]!r}.")


def check_moment(value: object, field: str, errors: Errors) -> dt.datetime | None:
    """Return a datetime in UTC; what is none, or has no time zone, is told as an error of the field."""
    if value is None:
        return None
    if not isinstance(value, dt.datetime) or timezone.is_naive(value):
        errors[field] = ["Give a datetime with a time zone."]
        return None
    try:
        return value.astimezone(dt.UTC)
    except OverflowError:
        errors[field] = ["This moment is out of range."]
        return None


def _check_word(field: str, value: object, words: Iterable[str], errors: Errors) -> str:
    if isinstance(value, str) and value in words:
        return str(value)
    *others, last = map(repr, map(str, words))
    errors[field] = [f"Use {', '.join(others)} or {last}."]
    return ""


def _check_unique_key(value: object, errors: Errors) -> str | None:
    if value is None:
        return None
    if not isinstance(value, str) or not 0 < len(value) <= MAX_UNIQUE_KEY or not is_storable_text(value):
        errors["unique_key"] = [f"Give a text of 1 to {MAX_UNIQUE_KEY} characters."]
        return None
    return value


def _check_number(fields: Mapping[str, Any], field: str, least: int, most: int, errors: Errors) -> int | None:
    value = fields.get(field)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        errors[field] = [f"Give a whole number from {least} to {most}."]
        return None
    return value


def _check_expiry(fields: Mapping[str, Any], errors: Errors) -> dt.datetime | None:
    """A job that can never start is a mistake. By this process's clock: the database's would cost a statement."""
    moment = check_moment(fields.get("expires_at"), "expires_at", errors)
    if moment is None:
        return None
    run_at = fields.get("run_at")
    if moment <= timezone.now():
        errors["expires_at"] = ["Give a moment in the future."]
    elif isinstance(run_at, dt.datetime) and not timezone.is_naive(run_at) and moment <= run_at:
        errors["expires_at"] = ["Give a moment after run_at: it would expire before it may run."]
    return moment
