"""Values that a command is given: JSON from an argument, a file or standard input; moments and lengths of time."""

from __future__ import annotations

import datetime as dt
import json
import math
import re
from argparse import ArgumentTypeError
from pathlib import Path
from typing import Any, Final, NoReturn

from django_jobs.conf import jobs_settings
from django_jobs.engine.insight.filter import read_moment
from django_jobs.management.refusals import usage
from django_jobs.management.standard_input import standard_input
from django_jobs.texts import say

STDIN: Final = "-"
#: A text may have so many times the bytes that are stored of it: for blanks, line ends and escapes.
MOST_TIMES: Final = 4
MAX_DELAY: Final = 10 * 365 * 86_400
UNITS: Final = {"": 1, "s": 1, "m": 60, "h": 3_600, "d": 86_400}
_DELAY: Final = re.compile(r"(\d{1,9}(?:\.\d{1,6})?)([smhd]?)\Z", re.ASCII)


def moment(text: str) -> dt.datetime:
    """Return the moment of an option, in UTC; without a zone it is in TIME_ZONE."""
    try:
        return read_moment(text)
    except ValueError as error:
        raise ArgumentTypeError(str(error)) from error


def seconds(text: str) -> float:
    """Return the seconds of an option such as 90, 90s, 15m, 2h or 1d."""
    found = _DELAY.match(text.strip())
    value = float(found[1]) * UNITS[found[2]] if found else math.inf
    if value > MAX_DELAY:
        raise ArgumentTypeError("give a number of seconds, or one with its unit, such as 90, 15m, 2h or 1d")
    return value


def read_parameters(text: str | None, file: str | None) -> dict[str, Any]:
    """Return the object that the argument, or the file, holds as JSON; an empty one where there is neither.

    Raises Refused for what is no JSON, no object, or far too long, and for a file that cannot be read.
    """
    if text is not None and file is not None:
        raise usage(say("Give the parameters as an argument or by --file, not both.", code="given_twice"))
    source = STDIN if STDIN in (text, file) else file
    content = text if source is None else _read(source)
    return {} if content is None else read_object(content, "The parameters")


def read_object(text: str, what: str) -> dict[str, Any]:
    """Return the object of a JSON text. ``what`` begins the sentence that says what is wrong, in the plural."""
    size, most = len(text.encode("utf-8", "replace")), _most_bytes()
    if size > most:
        stored = int(jobs_settings.MAX_PARAMETERS_BYTES)
        text = say(
            "%(what)s have %(size)s bytes or more, and at most %(most)s are stored (MAX_PARAMETERS_BYTES): put what is "
            "large where the handler can read it, and submit its name.",
            code="too_large",
            what=what,
            size=f"{size:,}",
            most=f"{stored:,}",
        )
        raise usage(text)
    try:
        found = json.loads(text, parse_constant=_refuse_constant)
    except RecursionError:
        raise usage(say("%(what)s are nested too deeply.", code="too_deep", what=what)) from None
    except ValueError as error:
        raise usage(say("%(what)s are no JSON: %(error)s.", code="not_json", what=what, error=str(error))) from error
    if not isinstance(found, dict):
        text = '%(what)s must be a JSON object such as {"customer": 7}, and this is %(found)s.'
        raise usage(say(text, code="not_an_object", what=what, found=_named(found)))
    return found


def _refuse_constant(word: str) -> NoReturn:
    raise ValueError(f"{word} is none of its values")


def _named(value: Any) -> str:
    if value is None:
        return "null"
    return {list: "a list", str: "a text", bool: "true or false"}.get(type(value), "a number")


def _most_bytes() -> int:
    return MOST_TIMES * int(jobs_settings.MAX_PARAMETERS_BYTES)


def _read(source: str) -> str:
    """Return the text of a file, or of standard input, as far as it may be long and one character more."""
    most = _most_bytes() + 1
    try:
        if source == STDIN:
            return standard_input().read(most)
        with Path(source).open(encoding="utf-8") as file:
            return file.read(most)
    except UnicodeDecodeError as error:
        raise usage(say("The parameters are no text in UTF-8.", code="not_utf8")) from error
    except OSError as error:
        reason = error.strerror or str(error)
        text = say("--file: %(file)s cannot be read (%(reason)s).", code="unreadable", file=source, reason=reason)
        raise usage(text) from error
