"""Like errors have one fingerprint, different ones have two."""

from __future__ import annotations

import traceback

import pytest
from pytest_django import Settings

from django_jobs.engine.transitions import MAX_MESSAGE, exception_in, fold
from tests.support import verbs


def test_what_varies_is_folded(subtests: pytest.Subtests) -> None:
    cases: list[tuple[str, str]] = [
        ("No route to host", "No route to host"),
        ("Line 3 is not CSV", "Line <n> is not CSV"),
        ("took 12.75 s at 10:31:07, offset -4", "took <n> s at <n>, offset <n>"),
        ("There is no JOB-2026-00001 of ORG-2", "There is no <id> of <id>"),
        ("row 123e4567-e89b-12d3-a456-426614174000 is gone", "row <id> is gone"),
        ("commit 8d63d73bb1ff0c09 is bad", "commit <id> is bad"),
        ("<Thing object at 0x7f3a>", "<Thing object at <id>>"),
        ("no column 'title' in \"shop\"", "no column <quoted> in <quoted>"),
        ("the user's shop isn't open", "the user's shop isn't open"),
        ("cannot open /srv/data/in.csv", "cannot open <path>"),
        ("cannot open C:\\data\\in.csv", "cannot open <path>"),
        ("either/or", "either/or"),
        ("GET https://api.example.com/v1/x?id=3 failed", "GET <url> failed"),
        ("nobody@example.com is unknown", "<mail> is unknown"),
        ("two\n   lines", "two lines"),
        ("deadbeef cafe", "deadbeef cafe"),
        ("", ""),
    ]
    for message, folded in cases:
        with subtests.test(message=message, folded=folded):
            assert fold(message) == folded


def test_only_the_beginning_of_a_long_message_counts() -> None:
    assert fold("x" * (MAX_MESSAGE + 1)) == "x" * MAX_MESSAGE


def test_like_messages_have_one_fingerprint() -> None:
    assert verbs.error_fingerprint("Line 3 is not CSV") == verbs.error_fingerprint("Line 40 is not CSV")


def test_different_messages_have_two() -> None:
    assert verbs.error_fingerprint("Line 3 is not CSV") != verbs.error_fingerprint("Line 3 is empty")


def test_it_fits_the_column_and_quotes_nothing() -> None:
    assert verbs.error_fingerprint("password=secret").isalnum()
    assert len(verbs.error_fingerprint("password=secret")) == 32


def test_who_has_not_the_secret_key_cannot_try_guesses(settings: Settings) -> None:
    here = verbs.error_fingerprint("ValueError", traceback_of(ValueError("pin is wrong")), "shop.jobs.bill")
    assert here == verbs.error_fingerprint("ValueError", traceback_of(ValueError("pin is wrong")), "shop.jobs.bill")
    settings.SECRET_KEY = "another one"
    there = verbs.error_fingerprint("ValueError", traceback_of(ValueError("pin is wrong")), "shop.jobs.bill")
    assert (verbs.error_kind(here) == verbs.error_kind(there), here[32:] == there[32:]) == (False, False)


def test_lone_surrogates_do_no_harm() -> None:
    assert verbs.error_fingerprint("\ud800")


def traceback_of(error: BaseException) -> str:
    try:
        raise error
    except BaseException as raised:  # noqa: BLE001
        return "".join(traceback.format_exception(raised))


def test_the_traceback_tells_what_the_message_may_not() -> None:
    found = {
        verbs.error_fingerprint("ValueError", traceback_of(ValueError(text)))
        for text in ("no tax", "no price", "no price")
    }
    assert len(found) == 2


def test_like_errors_of_two_places_have_two_which_begin_alike() -> None:
    here, there = (verbs.error_fingerprint("KeyError: 'tax'", place=f"shop.jobs.{name}") for name in ("bill", "refund"))
    assert here != there
    assert verbs.error_kind(here) == verbs.error_kind(there) == verbs.error_fingerprint("KeyError: 'tax'")
    assert len(here) == 48


def test_the_line_of_an_error_does_not_count() -> None:
    there = traceback_of(ValueError("no tax"))
    here = "".join(traceback.format_exception_only(ValueError("no tax")))
    assert verbs.error_fingerprint("", there) == verbs.error_fingerprint(here.strip())


def test_a_traceback_ends_with_its_exception() -> None:
    assert exception_in(traceback_of(KeyError("tax"))) == "KeyError: 'tax'"


def test_a_message_of_several_lines_is_read_whole() -> None:
    assert exception_in(traceback_of(ValueError("one\n  two\nthree"))) == "ValueError: one\n  two\nthree"


def test_of_a_chain_the_last_exception_counts() -> None:
    error = ValueError("outer")
    error.__cause__ = KeyError("inner")
    assert exception_in(traceback_of(error)) == "ValueError: outer"


def test_where_there_is_no_exception_the_message_counts(subtests: pytest.Subtests) -> None:
    for text in ("", "no traceback at all", '  File "x.py", line 1, in f'):
        with subtests.test(text=text):
            assert exception_in(text) == ""
            assert verbs.error_fingerprint("No tax", text) == verbs.error_fingerprint("No tax")
