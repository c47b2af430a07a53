from __future__ import annotations

import runpy

import pytest
from django.core.exceptions import ImproperlyConfigured

from example_project import settings as example
from example_project.environment import read_bool, read_list, required_without_debug


def test_yes_and_no_are_read_in_their_usual_spellings(
    subtests: pytest.Subtests, monkeypatch: pytest.MonkeyPatch
) -> None:
    cases: list[tuple[str, bool]] = [("1", True), (" True ", True), ("off", False), ("", True)]
    for text, meant in cases:
        with subtests.test(text=text, meant=meant):
            monkeypatch.setenv("DEBUG", text)
            assert read_bool("DEBUG", default=True) is meant


def test_a_word_that_is_neither_yes_nor_no_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DEBUG", "maybe")
    with pytest.raises(ImproperlyConfigured, match="DEBUG='maybe' is neither yes nor no"):
        read_bool("DEBUG", default=True)


def test_a_laptop_needs_no_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SECRET_KEY", raising=False)
    assert required_without_debug("SECRET_KEY", debug=True, laptop="laptop") == "laptop"


def test_without_debug_a_missing_secret_is_refused_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET_KEY", " ")
    with pytest.raises(ImproperlyConfigured, match="SECRET_KEY must be set"):
        required_without_debug("SECRET_KEY", debug=False, laptop="laptop")


def test_a_list_ignores_blanks() -> None:
    assert read_list("a.example, b.example,") == ["a.example", "b.example"]


def test_the_token_of_scrapes_comes_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("METRICS_TOKEN", "of the scraper")
    assert runpy.run_path(example.__file__)["DJANGO_JOBS"] == {"METRICS_TOKEN": "of the scraper"}
