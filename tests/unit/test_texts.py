"""Texts that are English wherever they are stored, and that a page can show in another language."""

from __future__ import annotations

import json

from django_jobs.exceptions import InvalidTransition
from django_jobs.texts import say, told, translated


def test_a_text_is_english_whatever_language_is_active(bracketed: None) -> None:
    text = say("At most %(count)d.", count=3)
    assert (text, str(text), f"{text}", json.dumps(text)) == ("At most 3.", "At most 3.", "At most 3.", '"At most 3."')


def test_a_page_shows_it_in_the_active_language(bracketed: None) -> None:
    assert translated(say("Cannot: %(reason)s", reason=say("it is %(status)s", status="Failed"))) == (
        "[Cannot: [it is Failed]]"
    )
    assert translated("words of somebody else") == "words of somebody else"


def test_what_an_exception_says_is_shown_so_too(bracketed: None) -> None:
    error = InvalidTransition("JOB-2026-00001", "Completed", "retry")
    assert str(error) == "Cannot retry JOB-2026-00001: it is Completed."
    assert told(error) == "[Cannot retry JOB-2026-00001: [it is [Completed]].]"
