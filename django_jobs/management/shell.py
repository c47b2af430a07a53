"""What all commands share: answers in JSON, refusals, people, and values that are typed or read."""

from __future__ import annotations

import contextlib
import datetime as dt
import difflib
import enum
import json
import os
import re
import sys
from argparse import ArgumentTypeError
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, Final, NoReturn

from django.contrib.auth import get_user_model
from django.core.exceptions import ImproperlyConfigured, ValidationError
from django.core.management.base import BaseCommand, CommandError, CommandParser, SystemCheckError
from django.core.serializers.json import DjangoJSONEncoder
from django.db import Error, InterfaceError, OperationalError, ProgrammingError
from django.utils import translation

from django_jobs.engine.insight.filter import read_moment
from django_jobs.engine.insight.search import similar_job_types
from django_jobs.engine.json_storage import clean_text, is_storable_text
from django_jobs.exceptions import (
    DuplicateJob,
    InvalidOperation,
    InvalidSubmission,
    JobsError,
    RetryableRefusal,
)
from django_jobs.models import JobType
from django_jobs.texts import code_of, said, say


class ExitCode(enum.IntEnum):
    """The exit codes of our commands, the one list of them; ``docs/commands.md`` has the same in a table."""

    #: It was done, or was so already.
    DONE = 0
    #: It was refused, or done to some of what was named; of a job that was waited for: it failed.
    REFUSED = 1
    #: The arguments cannot be: an unknown option, a name or an id that is not there, no JSON.
    USAGE = 2
    #: The database is away, or has not been migrated.
    UNAVAILABLE = 3
    #: It goes on, and is no longer waited for: the time ran out, or somebody pressed Ctrl+C.
    NOT_AWAITED = 4
    #: The job that was waited for was canceled.
    CANCELED = 5
    #: ``jobs_replay --wait``, and others that wait for an operation: it was paused or stopped before its end. It shares
    #: its number with USAGE.
    NOT_FINISHED = 2


# Commands that answer people with text, and programs with JSON: ``--json``.


#: What is told of a value that is not there.
NOTHING: Final = "-"


class ShellCommand(BaseCommand):
    """A command that answers people, or programs with ``--json``, and does not wait for a database that is away.

    Its answer goes to stdout, for programs as one line of JSON. An error goes to stderr, as a sentence or as a line
    ``{"error": {"code": …, "message": …, "exit_code": …}}``.
    """

    as_json = False
    #: Whether its reader has left.
    is_unread = False
    #: What is added where an argument is unknown.
    hint = ""
    _called_from_command_line = False

    def create_parser(self, prog_name: str, subcommand: str, **kwargs: Any) -> CommandParser:
        parser = super().create_parser(prog_name, subcommand, **kwargs)
        parser.add_argument("--json", action="store_true", help="Answer in JSON, for programs.")
        parser.error = partial(self._refuse_usage, parser, parser.error)  # type: ignore[method-assign]
        parser.parse_args = partial(self._parse, parser)  # type: ignore[method-assign]
        return parser

    def _parse(self, parser: CommandParser, args: Sequence[str] | None = None, namespace: Any = None) -> Any:
        """Read the arguments as the parser's own method does, and say of those that it does not know what was meant."""
        options, rest = parser.parse_known_args(args, namespace)
        if rest:
            parser.error(f"unrecognized arguments: {' '.join(rest)}{_options_meant(parser, rest)}{self.hint}")
        return options

    def run_from_argv(self, argv: list[str]) -> None:
        self.as_json = "--json" in argv
        super().run_from_argv(argv)

    def execute(self, *args: Any, **options: Any) -> str | None:
        self.as_json = bool(options.get("json"))
        try:
            return self._execute(*args, **options)
        except CommandError as error:
            is_told_here = self._called_from_command_line and not options.get("traceback")
            # To people, Django tells what its checks found in many lines.
            if not is_told_here or (isinstance(error, SystemCheckError) and not self.as_json):
                raise
            self._tell_error(error, error.returncode)
            sys.exit(error.returncode)

    def _execute(self, *args: Any, **options: Any) -> str | None:
        """Check the system and do the work. Raise CommandError for what the database, the settings or we refuse."""
        try:
            # Our commands speak English, also what they quote of refusals that pages show in their language.
            with translation.override(None), told_plainly():
                return super().execute(*args, **options)
        except JobsError as error:
            raise refusal_of(error) from error

    def say(self, facts: dict[str, Any], text: str | None = None) -> None:
        """Write the answer: the facts with ``--json``, else the text, or what the facts say in lines."""
        if self.as_json:
            text = json.dumps(facts, cls=DjangoJSONEncoder)
        try:
            self.stdout.write("\n".join(in_lines(facts)) if text is None else text)
            self.stdout.flush()
        except BrokenPipeError:
            # A reader has left who has seen enough, such as `head`. What is written from now on goes to nobody: the
            # interpreter flushes the stream when it exits, and that would fail again.
            self.is_unread = True
            os.dup2(os.open(os.devnull, os.O_WRONLY), self.stdout.fileno())

    def note(self, text: str) -> None:
        """Write what people should know besides; programs find it in the facts."""
        if not self.as_json:
            self.stderr.write(text, lambda line: line)
            self.stderr.flush()

    def _refuse_usage(self, parser: CommandParser, tell: Any, message: str) -> NoReturn:
        if parser.called_from_command_line and self.as_json:
            self._tell_error(Refused(message, code="usage"), ExitCode.USAGE)
            sys.exit(ExitCode.USAGE)
        tell(message)
        raise AssertionError  # the parser's own has raised or left

    def _tell_error(self, error: CommandError, code: int) -> None:
        if not self.as_json:
            self.stderr.write(str(error))
            return
        facts = error.facts if isinstance(error, Refused) else {}
        word = error.code if isinstance(error, Refused) else "refused"
        body = {"code": word, "message": str(error), "exit_code": code, **facts}
        self.stderr.write(json.dumps({"error": body}, cls=DjangoJSONEncoder), lambda line: line)


#: Of rows that have more than a line can hold: what people are told.
TOLD: Final = {"alarms": ("rule", "since", "text"), "oldest": ("batch_id", "state", "progress", "total", "name")}


def in_lines(facts: Mapping[str, Any]) -> Iterator[str]:
    """Yield facts as people read them: a line for each value, and a table for each list."""
    for name, value in facts.items():
        if not isinstance(value, list):
            yield f"{_word(name):<24}{_in_words(value)}"
        inner = {title: rows for title, rows in value.items() if rows} if isinstance(value, dict) else {}
        for title, rows in {name: value, **inner}.items():
            if isinstance(rows, list):
                yield from _table(title, rows)


def _table(title: str, rows: list[Any]) -> Iterator[str]:
    """Yield how many rows there are, and the rows in columns, without those that are empty in all of them."""
    yield f"{_word(title):<24}{len(rows)}"
    cells = [row if isinstance(row, dict) else {"name": row} for row in rows]
    names = [name for name in (cells[0] if cells else ()) if name in TOLD.get(title, (name,))]
    table = [list(map(_word, names)), *([_in_words(row[name]) for name in names] for row in cells)]
    filled = [column for column in zip(*table, strict=True) if any(text != NOTHING for text in column[1:])]
    widths = [max(map(len, column)) for column in filled]
    for line in zip(*filled, strict=True):
        yield "  " + "  ".join(text.ljust(width) for text, width in zip(line, widths, strict=True)).rstrip()


def _word(name: str) -> str:
    return name[:1].upper() + name[1:].replace("_", " ")


def _in_words(value: Any) -> str:
    if isinstance(value, dict):
        if "capped" in value:
            return f"{value['count']}{'+' if value['capped'] else ''}"
        plain = {name: item for name, item in value.items() if not isinstance(item, list)}
        return ", ".join(f"{_word(name)} {_in_words(item)}" for name, item in plain.items())
    if isinstance(value, list):
        return ",".join(map(str, value)) or NOTHING
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, dt.datetime):
        return f"{value.astimezone(dt.UTC):%Y-%m-%d %H:%M:%S} UTC"
    if value in (None, ""):
        return NOTHING
    return f"{value:.1f}" if isinstance(value, float) else str(value).splitlines()[0]


def _options_meant(parser: CommandParser, rest: Sequence[str]) -> str:
    """Return which option may have been meant in the place of the first that is unknown."""
    unknown = next((item.partition("=")[0] for item in rest if item.startswith("--")), "")
    known = sorted(set(re.findall(r"--[a-z][a-z-]+", parser.format_usage())))
    meant = did_you_mean(difflib.get_close_matches(unknown, known, 1))
    return f".{meant}" if meant else ""


# Why a command did not do what it was told to: a sentence for people, and facts for programs.


#: The codes of names that are not there.
UNKNOWN: Final = frozenset(
    {"unknown_job_type", "not_synced", "unknown_organization", "unknown_job", "unknown_batch", "unknown_schedule"}
)
#: Characters of a name that a sentence quotes.
MAX_QUOTED = 60


class Refused(CommandError):
    """The command does not do it. ``code`` is a word for programs, and ``facts`` are what they may want to know.

    ``reason`` is the code of the text, which says more closely why.
    """

    def __init__(self, text: str, *, code: str, returncode: int = ExitCode.REFUSED, **facts: Any) -> None:
        super().__init__(text, returncode=returncode)
        self.code = code
        self.facts = facts
        self.reason = code_of(text, code)


class Unavailable(Refused):
    """The database is away, or lacks our tables."""

    def __init__(self, text: str) -> None:
        super().__init__(text, code="unavailable", returncode=ExitCode.UNAVAILABLE)


def usage(text: str) -> Refused:
    """Return the refusal of arguments that cannot be."""
    return Refused(text, code="usage", returncode=ExitCode.USAGE)


def unknown(what: str, name: str, meant: Sequence[str] = ()) -> Refused:
    """Return the refusal of a name that is not there, with those that may have been meant."""
    text = say(
        "No %(what)s %(name)s.%(meant)s",
        code=f"unknown_{what.replace(' ', '_')}",
        what=what,
        name=repr(clean_text(name, MAX_QUOTED)),
        meant=did_you_mean(meant),
    )
    return Refused(
        text, code="unknown_name", returncode=ExitCode.USAGE, name=clean_text(name, 200), did_you_mean=list(meant)
    )


def did_you_mean(meant: Sequence[str]) -> str:
    """Return the question of what was meant, with a blank before it; nothing where nothing comes near."""
    if not meant:
        return ""
    *others, last = meant
    return f" Did you mean {', '.join(others)} or {last}?" if others else f" Did you mean {last}?"


def refusal_of(error: JobsError) -> Refused:
    """Return what a command says of a refusal of the engine."""
    facts: dict[str, Any] = {}
    codes = {said(error).code}
    if isinstance(error, InvalidSubmission | InvalidOperation):
        facts["fields"] = {name: [str(text) for text in texts] for name, texts in error.errors.items()}
        codes |= {code for field in error.codes.values() for code in field}
    if isinstance(error, DuplicateJob):
        facts["job_id"] = error.existing.name if error.is_visible else None
    if isinstance(error, RetryableRefusal):
        facts["retry_after"] = error.retry_after
    is_unknown = not codes.isdisjoint(UNKNOWN)
    code = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", type(error).__name__).lower()
    returncode = ExitCode.USAGE if is_unknown else ExitCode.REFUSED
    return Refused(said(error), code="unknown_name" if is_unknown else code, returncode=returncode, **facts)


# Job types by their names, and the person behind a command: in whose name it acts, and what they answer when it asks.


def find_types(names: Iterable[str], user: Any) -> Iterator[JobType]:
    """Yield the job types of these names. Raises Refused, which tells server code which may have been meant."""
    kinds = JobType.primary.in_bulk(list(filter(is_storable_text, names)))
    for name in names:
        if name not in kinds:
            raise unknown("job type", name, similar_job_types(name) if user is None else ())
        yield kinds[name]


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


def confirm(command: ShellCommand, question: str, *, is_agreed: bool) -> None:
    """Ask whether to go on, and raise Refused unless the answer is yes. Without a terminal nobody can be asked."""
    if is_agreed:
        return
    if not sys.stdin.isatty():
        text = say(
            "Nothing was done: %(question)s, and nobody is there to be asked. With --yes it is done without asking.",
            code="nobody_there",
            question=question,
        )
        raise Refused(text, code="not_confirmed")
    # To stderr, since what is on stdout may be read by a program.
    command.stderr.write(f"{question}. Type yes to go on: ", lambda line: line, ending="")
    command.stderr.flush()
    try:
        answer = input()
    except (EOFError, KeyboardInterrupt):
        answer = ""
    if answer.strip().lower() != "yes":
        raise Refused("Nothing was done.", code="not_confirmed")


# Ids that a command is given: as arguments, or one after the other on standard input, which ``-`` stands for.


MAX_TEXT: Final = 200
STDIN: Final = "-"


def read_stdin() -> str:
    """Return what stands on standard input. Raises Refused where it is no text."""
    try:
        return sys.stdin.read()
    except UnicodeDecodeError as error:
        raise usage(say("Standard input holds no text in UTF-8.", code="not_utf8")) from error


def read_ids(words: Iterable[str]) -> list[str]:
    """Return the ids in their order, each once. Raises Refused for input that is no text."""
    given: list[str] = []
    for word in words:
        given += read_stdin().split() if word == STDIN else [word]
    return list(dict.fromkeys(clean_text(word, MAX_TEXT) for word in given))  # a longer text is no id


# Values that a command is given: moments and JSON.


def moment(text: str) -> dt.datetime:
    """Return the moment of an option, in UTC; without a zone it is in TIME_ZONE."""
    try:
        return read_moment(text)
    except ValueError as error:
        raise ArgumentTypeError(str(error)) from error


def read_object(text: str, what: str) -> dict[str, Any]:
    """Return the object of a JSON text. ``what`` begins the sentence that says what is wrong, in the plural."""
    try:
        found = json.loads(text, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise usage(say("%(what)s are no JSON: %(error)s.", code="not_json", what=what, error=str(error))) from error
    if not isinstance(found, dict):
        text = '%(what)s must be a JSON object such as {"customer": 7}.'
        raise usage(say(text, code="not_an_object", what=what))
    return found


def _refuse_constant(word: str) -> NoReturn:
    raise ValueError(f"{word} is none of its values")


# Why a command cannot work at all, told plainly.


@contextlib.contextmanager
def told_plainly() -> Iterator[None]:
    """Raise CommandError where the database is away or has not been migrated, or where a setting is wrong."""
    try:
        yield
    except (InterfaceError, OperationalError, ProgrammingError) as error:
        text = say(
            "%(fault)s. Is it running, and has `manage.py migrate` been run?",
            code="unavailable",
            fault=unusable(error),
        )
        raise Unavailable(text) from error
    except ImproperlyConfigured as error:
        raise CommandError(say("%(error)s", code="wrong_setting", error=str(error))) from error


def unusable(error: Error) -> str:
    """Return the first line of what the driver says. The others show a statement or give advice for another case."""
    lines = str(error).splitlines() or [""]
    return f"The database cannot be used ({type(error).__name__}: {lines[0].strip()})"
