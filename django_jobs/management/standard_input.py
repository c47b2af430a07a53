"""Standard input, which may be a terminal, a pipe, or closed by the caller: then Python has none."""

from __future__ import annotations

import sys
from typing import TextIO

from django_jobs.management.refusals import usage
from django_jobs.texts import say


def standard_input() -> TextIO:
    """Return standard input. Raises Refused where it is closed."""
    stream = _stream()
    if stream is None:
        raise usage(say("There is no standard input to read from: it is closed.", code="no_input"))
    return stream


def is_terminal() -> bool:
    """Return whether somebody is there to be asked."""
    stream = _stream()
    return stream is not None and stream.isatty()


def answers_yes() -> bool:
    """Read an answer, and return whether it is yes. The end of the input, or Ctrl+C, is no."""
    try:
        return input().strip().lower() == "yes"
    except (EOFError, KeyboardInterrupt):
        return False


def _stream() -> TextIO | None:
    return sys.stdin
