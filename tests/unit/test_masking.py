"""What is sensitive is masked, and comes back only where it was."""

from __future__ import annotations

from typing import Any

import pytest
from pytest_django import Settings

from django_jobs.admin.masking import MaskMoved, json_of, unmasked
from django_jobs.engine.masking import MASK, masked, sensitive_names, without_secrets

SECRETS: dict[str, Any] = {
    "user": "ann",
    "Password": "hunter2",
    "servers": [{"host": "a", "api_key": "1"}, {"host": "b", "api_key": "2"}],
    "token": {"deep": ["x"]},
}


@pytest.fixture(autouse=True)
def sensitive(settings: Settings) -> None:
    settings.DJANGO_JOBS = {**settings.DJANGO_JOBS, "SENSITIVE_PARAMETERS": ("password", "API_KEY", "token")}


def test_sensitive_keys_are_masked_at_any_depth_and_in_any_case() -> None:
    assert masked(SECRETS, sensitive_names()) == {
        "user": "ann",
        "Password": MASK,
        "servers": [{"host": "a", "api_key": MASK}, {"host": "b", "api_key": MASK}],
        "token": MASK,
    }


def test_nothing_is_masked_where_no_name_is_sensitive(settings: Settings) -> None:
    settings.DJANGO_JOBS = {**settings.DJANGO_JOBS, "SENSITIVE_PARAMETERS": ()}
    assert masked(SECRETS, sensitive_names()) == SECRETS


def test_masks_that_stay_where_they_are_keep_their_values() -> None:
    edited = {**masked(SECRETS, sensitive_names()), "user": "bob"}
    assert unmasked(edited, SECRETS) == {**SECRETS, "user": "bob"}


def test_what_is_typed_over_a_mask_counts() -> None:
    assert unmasked({**masked(SECRETS, sensitive_names()), "Password": "new"}, SECRETS)["Password"] == "new"


@pytest.mark.parametrize(
    "edited",
    [
        {"user": MASK},
        {"password": MASK},
        {"other": {"Password": MASK}},
        {"servers": [{"host": "b", "api_key": MASK}, {"host": "a", "api_key": MASK}]},
        {"servers": [{"host": "a", "api_key": MASK}]},
        [MASK],
    ],
)
def test_a_mask_that_moved_is_refused(edited: Any) -> None:
    with pytest.raises(MaskMoved, match="type the value"):
        unmasked(edited, SECRETS)


def test_marks_that_turn_text_around_are_shown_as_escapes() -> None:
    assert json_of({"name": "\u202egnp.exe"}, sensitive_names()) == '{\n  "name": "\\u202egnp.exe"\n}'


def test_what_is_nested_too_deeply_is_not_shown() -> None:
    deep: Any = []
    for _ in range(50_000):
        deep = [deep]
    assert json_of(deep, sensitive_names()) == "(nested too deeply to be shown)"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('"hunter2" is no choice', f'"{MASK}" is no choice'),
        ("the key of a is 1", "the key of a is 1"),
        ("no x-y-z for ann", f"no {MASK} for ann"),
        (r"bad: 'a\\b'", f"bad: '{MASK}'"),
        ("card 4711 refused", f"card {MASK} refused"),
    ],
)
def test_a_text_that_quotes_a_sensitive_value_has_a_mask_there(text: str, told: str) -> None:
    secrets = {**SECRETS, "token": {"deep": ["x-y-z", None, 4711, True]}, "password": "a\\b"}
    assert without_secrets(text, secrets) == told
