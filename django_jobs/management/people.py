"""The person behind a command: in whose name it acts, and what they answer when it asks."""

from __future__ import annotations

from typing import Any

from django.contrib.auth import get_user_model
from django.core.exceptions import ValidationError

from django_jobs.engine.json_storage import is_storable_text
from django_jobs.management.json_answers import JsonAnswers
from django_jobs.management.refusals import Refused, unknown
from django_jobs.management.standard_input import answers_yes, is_terminal
from django_jobs.texts import say


def add_user(parser: Any) -> None:
    """Add ``--user``."""
    parser.add_argument(
        "--user", metavar="NAME", help="Act in the name of this user, with their rights; by default as the system."
    )


def acting_user(name: str | None) -> Any:
    """Return the user of this name, or None for server code. Raises Refused where there is none."""
    if name is None:
        return None
    model: Any = get_user_model()
    field = model.USERNAME_FIELD
    try:
        found = model._default_manager.filter(**{field: name}).first() if name and is_storable_text(name) else None
    except (ValidationError, ValueError):
        found = None
    if found is None:
        raise unknown("user", name)
    return found


def confirm(command: JsonAnswers, question: str, *, is_agreed: bool) -> None:
    """Ask whether to go on, and raise Refused unless the answer is yes. Without a terminal nobody can be asked."""
    if is_agreed:
        return
    if not is_terminal():
        text = say(
            "Nothing was done: %(question)s, and nobody is there to be asked. With --yes it is done without asking.",
            code="nobody_there",
            question=question,
        )
        raise Refused(text, code="not_confirmed")
    # To stderr, since what is on stdout may be read by a program.
    command.stderr.write(f"{question}. Type yes to go on: ", lambda line: line, ending="")
    command.stderr.flush()
    if not answers_yes():
        raise Refused("Nothing was done.", code="not_confirmed")
