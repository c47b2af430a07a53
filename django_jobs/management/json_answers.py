"""Commands that answer people with text, and programs with JSON: ``--json``."""

from __future__ import annotations

import difflib
import json
import os
import re
import sys
from functools import partial
from typing import Any, NoReturn

from django.core.management.base import BaseCommand, CommandError, CommandParser, SystemCheckError
from django.core.serializers.json import DjangoJSONEncoder
from django.utils import translation

from django_jobs.management import exit_codes
from django_jobs.management.base import told_plainly
from django_jobs.management.refusals import Refused, did_you_mean


class JsonAnswers(BaseCommand):
    """A command with ``--json``: what it has to say goes to stdout as one line of JSON.

    An error goes to stderr, as a sentence or as a line ``{"error": {"code": …, "message": …, "exit_code": …}}``.
    """

    as_json = False
    _called_from_command_line = False
    _arguments: tuple[str, ...] = ()

    def create_parser(self, prog_name: str, subcommand: str, **kwargs: Any) -> CommandParser:
        parser = super().create_parser(prog_name, subcommand, **kwargs)
        parser.add_argument("--json", action="store_true", help="Answer in JSON, for programs.")
        parser.error = partial(self._refuse_usage, parser, parser.error)  # type: ignore[method-assign]
        return parser

    def run_from_argv(self, argv: list[str]) -> None:
        self._arguments = tuple(argv)
        super().run_from_argv(argv)

    def execute(self, *args: Any, **options: Any) -> str | None:
        self.as_json = bool(options.get("json"))
        try:
            # Our commands speak English, also what they quote of refusals that pages show in their language.
            with translation.override(None):
                return super().execute(*args, **options)
        except CommandError as error:
            is_told_here = self._called_from_command_line and not options.get("traceback")
            # To people, Django tells what its checks found in many lines.
            if not is_told_here or (isinstance(error, SystemCheckError) and not self.as_json):
                raise
            self._tell_error(error, error.returncode)
            sys.exit(error.returncode)

    def say(self, facts: dict[str, Any], text: str) -> None:
        """Write the answer: the facts with ``--json``, else the text."""
        try:
            self.stdout.write(json.dumps(facts, cls=DjangoJSONEncoder) if self.as_json else text)
            self.stdout.flush()
        except BrokenPipeError:
            self.go_unread()

    def go_unread(self) -> None:
        """Write to nobody from now on, after a reader who has left, as `head` when it has seen enough.

        The interpreter flushes the stream when it exits, and that would fail again.
        """
        os.dup2(os.open(os.devnull, os.O_WRONLY), self.stdout.fileno())

    def note(self, text: str) -> None:
        """Write what people should know besides; programs find it in the facts."""
        if not self.as_json:
            self.stderr.write(text, lambda line: line)
            self.stderr.flush()

    def hint_for(self, message: str) -> str:
        """Return what is added to what is wrong with the arguments."""
        return ""

    def _refuse_usage(self, parser: CommandParser, tell: Any, message: str) -> NoReturn:
        message = f"{message}{_options_meant(parser, message)}{self.hint_for(message)}"
        if parser.called_from_command_line and "--json" in self._arguments:
            self.as_json = True
            self._tell_error(Refused(message, code="usage"), exit_codes.USAGE)
            sys.exit(exit_codes.USAGE)
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


class ShellCommand(JsonAnswers):
    """A command that answers people or programs, and does not wait for a database that is away.

    Some of Django's checks ask the database; since 6.1 also some of those that run before every command.
    """

    def check(self, *args: Any, **kwargs: Any) -> None:
        with told_plainly():
            super().check(*args, **kwargs)


def _options_meant(parser: CommandParser, message: str) -> str:
    """Return which options may have been meant in the place of one that is unknown."""
    unknown = re.search(r"unrecognized arguments:.*?(--[\w-]+)", message)
    if unknown is None:
        return ""
    known = sorted(set(re.findall(r"--[a-z][a-z-]+", parser.format_usage())))
    return f".{did_you_mean(difflib.get_close_matches(unknown[1], known, 1))}".rstrip(".")
