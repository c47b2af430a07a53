"""Ids that a command is given: as arguments, or one after the other on standard input, which ``-`` stands for."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from typing import Final

from django_jobs.engine.json_storage import clean_text
from django_jobs.management.refusals import usage
from django_jobs.management.standard_input import standard_input
from django_jobs.texts import say

#: Ids of one call. More are named by a filter, which costs one statement and not one for each page.
MAX_IDS: Final = 100_000
MAX_TEXT: Final = 200
STDIN: Final = "-"


def read_ids(words: Iterable[str]) -> list[str]:
    """Return the ids in their order, each once. Raises Refused for too many, and for input that is no text."""
    try:
        found = list(itertools.islice(_distinct(words), MAX_IDS + 1))
    except UnicodeDecodeError as error:
        raise usage(say("The standard input is no text in UTF-8.", code="not_utf8")) from error
    if len(found) > MAX_IDS:
        text = "At most %(most)s ids are taken at once; name more jobs by a filter, such as --type."
        raise usage(say(text, code="too_many", most=f"{MAX_IDS:,}"))
    return found


def _distinct(words: Iterable[str]) -> Iterator[str]:
    seen: set[str] = set()
    for given in _all(words):
        word = clean_text(given, MAX_TEXT)  # a longer text is no id
        if word not in seen:
            seen.add(word)
            yield word


def _all(words: Iterable[str]) -> Iterator[str]:
    for word in words:
        if word == STDIN:
            for line in standard_input():
                yield from line.split()
        else:
            yield word
