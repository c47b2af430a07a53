"""What is sensitive is masked, and comes back only where it was."""

from __future__ import annotations

from typing import Any

import pytest
from pytest_django import Settings

from django_jobs.admin.masking import MASK, MaskMoved, json_of, masked, unmasked

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
    assert masked(SECRETS) == {
        "user": "ann",
        "Password": MASK,
        "servers": [{"host": "a", "api_key": MASK}, {"host": "b", "api_key": MASK}],
        "token": MASK,
    }


def test_nothing_is_masked_where_no_name_is_sensitive(settings: Settings) -> None:
    settings.DJANGO_JOBS = {**settings.DJANGO_JOBS, "SENSITIVE_PARAMETERS": ()}
    assert masked(SECRETS) == SECRETS


def test_masks_that_stay_where_they_are_keep_their_values() -> None:
    edited = {**masked(SECRETS), "user": "bob"}
    assert unmasked(edited, SECRETS) == {**SECRETS, "user": "bob"}


def test_what_is_typed_over_a_mask_counts() -> None:
    assert unmasked({**masked(SECRETS), "Password": "new"}, SECRETS)["Password"] == "new"


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
    assert json_of({"name": "\u202egnp.exe"}) == '{\n  "name": "\\u202egnp.exe"\n}'


def test_what_is_nested_too_deeply_is_not_shown() -> None:
    deep: Any = []
    for _ in range(50_000):
        deep = [deep]
    assert json_of(deep) == "(nested too deeply to be shown)"
