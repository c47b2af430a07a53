"""A system check as a row of a table: its id, its text, its hint, and what makes it true."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from django.core.checks import CheckMessage, Error, Tags, Warning
from django.db import DatabaseError, transaction

from django_jobs.conf import DEFAULTS, jobs_settings, primary_alias
from django_jobs.texts import code_of, say

#: What the text of a row tells of one finding. ``obj`` is what Django names before the text, ``text`` has the code.
Facts = Mapping[str, Any]


@dataclass(frozen=True)
class Row:
    """One thing that can be wrong: an error, or a warning where its id begins with W."""

    id: str
    text: str
    hint: str
    #: Returns True, or the facts of each finding. It raises nothing, whatever the settings hold.
    finds: Callable[[], Iterable[Facts] | bool]
    #: The further tag of Django's under which it is asked for.
    tag: str = ""

    def messages(self) -> list[CheckMessage]:
        """Return what is found, as Django tells it."""
        found = self.finds()
        each: Iterable[Facts] = [{}] if found is True else found or []
        kind = Error if self.id.startswith("E") else Warning
        return [
            kind(
                say(self.text, code=code_of(facts.get("text"), self.id), **facts),
                hint=self.hint,
                obj=facts.get("obj"),
                id=f"django_jobs.{self.id}",
            )
            for facts in each
        ]


def setting(check_id: str, name: str, accepted: str, is_fine: Callable[[Any], bool], hint: str = "") -> Row:
    """Return the row of a setting that must be of one kind."""

    def finds() -> list[Facts]:
        value = getattr(jobs_settings, name)
        return [] if is_fine(value) else [{"value": value}]

    text = f"DJANGO_JOBS[{name!r}] must be {accepted}, not %(value)r."
    return Row(check_id, text, hint or f"Leave it out for the default, {DEFAULTS[name]!r}.", finds)


def failure_of(call: Callable[[], object]) -> Exception | None:
    """Return what the host's code raises; None where it returns."""
    try:
        call()
    except Exception as error:  # noqa: BLE001  (the host's module may raise anything)
        return error
    return None


def of_tables(check_id: str, text: str, hint: str, finds: Callable[[], Iterable[Facts]]) -> Row:
    """Return the row of what is found in tables: nothing where these are yet to be migrated."""

    def finds_once_migrated() -> list[Facts]:
        try:
            with transaction.atomic(using=primary_alias()):
                return list(finds())
        except DatabaseError:
            return []

    return Row(check_id, text, hint, finds_once_migrated, Tags.database)
