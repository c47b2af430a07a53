"""Why a command did not do what it was told to: a sentence for people, and facts for programs."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from django.core.management.base import CommandError

from django_jobs.engine.json_storage import clean_text
from django_jobs.exceptions import (
    BatchNotFound,
    DuplicateJob,
    InvalidOperation,
    InvalidSubmission,
    JobNotFound,
    JobsError,
    RetryableRefusal,
    ScheduleNotFound,
)
from django_jobs.management import exit_codes
from django_jobs.texts import code_of, said, say

#: Characters of a name that a sentence quotes.
MAX_QUOTED = 60


class Refused(CommandError):
    """The command does not do it. ``code`` is a word for programs, and ``facts`` are what they may want to know.

    ``reason`` is the code of the text, which says more closely why.
    """

    def __init__(self, text: str, *, code: str, returncode: int = exit_codes.REFUSED, **facts: Any) -> None:
        super().__init__(text, returncode=returncode)
        self.code = code
        self.facts = facts
        self.reason = code_of(text, code)


class Unavailable(Refused):
    """The database is away, or lacks our tables."""

    def __init__(self, text: str) -> None:
        super().__init__(text, code="unavailable", returncode=exit_codes.UNAVAILABLE)


def usage(text: str) -> Refused:
    """Return the refusal of arguments that cannot be."""
    return Refused(text, code="usage", returncode=exit_codes.USAGE)


def unknown(what: str, name: str, meant: Sequence[str] = (), tail: str = "") -> Refused:
    """Return the refusal of a name that is not there, with those that may have been meant."""
    text = say(
        "No %(what)s %(name)s.%(meant)s%(tail)s",
        code=f"unknown_{what.replace(' ', '_')}",
        what=what,
        name=quoted(name),
        meant=did_you_mean(meant),
        tail=tail,
    )
    return Refused(
        text, code="unknown_name", returncode=exit_codes.USAGE, name=clean_text(name, 200), did_you_mean=list(meant)
    )


def quoted(name: str) -> str:
    """Return a name as a sentence quotes it."""
    return repr(clean_text(name, MAX_QUOTED))


def did_you_mean(meant: Sequence[str]) -> str:
    """Return the question of what was meant, with a blank before it; nothing where nothing comes near."""
    if not meant:
        return ""
    *others, last = meant
    return f" Did you mean {', '.join(others)} or {last}?" if others else f" Did you mean {last}?"


def refusal_of(error: JobsError) -> Refused:
    """Return what a command says of a refusal of the engine."""
    facts: dict[str, Any] = {}
    if isinstance(error, InvalidSubmission | InvalidOperation):
        facts["fields"] = {name: [str(text) for text in texts] for name, texts in error.errors.items()}
    if isinstance(error, DuplicateJob):
        facts["job_id"] = error.existing.name if error.is_visible else None
    if isinstance(error, RetryableRefusal):
        facts["retry_after"] = error.retry_after
    is_unknown = isinstance(error, JobNotFound | BatchNotFound | ScheduleNotFound)
    code = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", type(error).__name__).lower()
    returncode = exit_codes.USAGE if is_unknown else exit_codes.REFUSED
    return Refused(said(error), code="unknown_name" if is_unknown else code, returncode=returncode, **facts)
