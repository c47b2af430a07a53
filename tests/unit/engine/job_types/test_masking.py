"""What is sensitive is masked, and goes along only with parameters that nobody edited."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import quote, quote_plus

import pytest
from pytest_django import Settings

from django_jobs.admin.writing import json_of
from django_jobs.engine.job_types.masking import MasksLeft, mask_of, masked, parameters_to_submit, sensitive_names
from tests.support.verbs import MASK

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


def test_a_forgotten_comma_shows_no_secret(settings: Settings) -> None:
    settings.DJANGO_JOBS = {**settings.DJANGO_JOBS, "SENSITIVE_PARAMETERS": ("password")}
    assert masked({"password": "hunter2"}, sensitive_names()) == {"password": MASK}


def sent_back(edited: Any, original: Any = SECRETS) -> Any:
    return parameters_to_submit(edited, original, sensitive_names())


def test_parameters_that_were_not_edited_are_the_ones_before() -> None:
    assert sent_back(masked(SECRETS, sensitive_names())) == SECRETS


def test_once_anything_is_edited_each_mask_has_to_be_typed(subtests: pytest.Subtests) -> None:
    cases: list[tuple[dict[str, Any], list[str]]] = [
        ({"user": "bob"}, ["Password", "servers.0.api_key", "servers.1.api_key", "token"]),
        ({"Password": "new"}, ["servers.0.api_key", "servers.1.api_key", "token"]),
        ({"servers": [{"host": "b", "api_key": MASK}], "token": "t", "Password": "p"}, ["servers.0.api_key"]),
        ({"servers": [], "token": {"deep": [MASK]}, "Password": "p"}, ["token.deep.0"]),
        ({"servers": [], "token": "t", "Password": "p", "note": MASK}, ["note"]),
        ({"servers": [], "token": "t", "Password": "p", "user": MASK}, ["user"]),
    ]
    for change, places in cases:
        with subtests.test(change=change, places=places):
            with pytest.raises(MasksLeft) as caught:
                sent_back({**masked(SECRETS, sensitive_names()), **change})
            assert caught.value.places == [f"parameters.{place}" for place in places]


def test_a_mask_is_refused_wherever_it_stands(subtests: pytest.Subtests) -> None:
    cases: list[Any] = [MASK, [MASK], {"password": MASK}, {"user": "ann", "x": {"y": [[MASK]]}}]
    for edited in cases:
        with subtests.test(edited=edited), pytest.raises(MasksLeft):
            sent_back(edited)


def test_what_is_left_out_or_typed_is_taken_as_it_is() -> None:
    assert sent_back({"user": "ann"}) == {"user": "ann"}
    assert sent_back({"user": "ann", "Password": "new"}) == {"user": "ann", "Password": "new"}


def test_another_kind_of_number_is_an_edit() -> None:
    assert sent_back({"n": True}, {"n": 1}) == {"n": True}
    with pytest.raises(MasksLeft):
        sent_back({"n": 1.0, "token": MASK}, {"n": 1, "token": "t"})


def test_a_text_that_only_looks_like_a_mask_may_stay_where_it_was() -> None:
    assert sent_back({"rule": MASK, "user": "bob"}, {"rule": MASK, "user": "ann"}) == {"rule": MASK, "user": "bob"}
    with pytest.raises(MasksLeft):
        sent_back({"token": MASK, "user": "bob"}, {"token": MASK, "user": "ann"})
    with pytest.raises(MasksLeft):
        sent_back([MASK, "x"], ["y", MASK])


def test_whoever_may_read_everything_writes_everything() -> None:
    assert parameters_to_submit({"token": MASK}, SECRETS, frozenset()) == {"token": MASK}


def test_marks_that_turn_text_around_are_shown_as_escapes() -> None:
    assert json_of({"name": "\u202egnp.exe"}, sensitive_names()) == '{\n  "name": "\\u202egnp.exe"\n}'


def test_a_text_that_quotes_a_sensitive_value_has_a_mask_there(subtests: pytest.Subtests) -> None:
    cases: list[tuple[str, str]] = [
        ('"hunter2" is no choice', f'"{MASK}" is no choice'),
        ("the key of a is 1", "the key of a is 1"),
        ("no x-y-z for ann", f"no {MASK} for ann"),
        (r"bad: 'a\\b'", f"bad: '{MASK}'"),
        ("card 4711 refused", f"card {MASK} refused"),
        ("401 for https://a.example/?key=p%2Fq+r%3D", f"401 for https://a.example/?key={MASK}"),
        ("404 for https://a.example/p/q%20r%3D", f"404 for https://a.example/{MASK}"),
        ("404 for https://a.example/p%2Fq%20r%3D", f"404 for https://a.example/{MASK}"),
    ]
    for text, told in cases:
        with subtests.test(text=text, told=told):
            secrets = {**SECRETS, "token": {"deep": ["x-y-z", None, 4711, True, "p/q r="]}, "password": "a\\b"}
            assert mask_of(secrets)(text) == told


def written(text: str) -> dict[str, str]:
    """The text as other texts have it."""
    return {
        "as it is": f"no {text} here",
        "Python": repr(text),
        "Python among quotes": repr(f'it\'s "{text}"'),
        "ASCII": ascii(text),
        "octets": repr(text.encode()),
        "JSON": json.dumps({"key": text}),
        "JSON in Unicode": json.dumps({"key": text}, ensure_ascii=False),
        "address": f"/?q={quote_plus(text)}&r={quote(text)}",
    }


def test_a_value_is_found_however_and_however_often_it_was_quoted() -> None:
    for secret in ('Jo\'s "KQ"', "K\nJ\tQ", "KJQé€😀", "\\K\\nJ\\Q\\", "K/J+Q %4a=&", "K%/J% Q%"):
        mask = mask_of({"password": secret})
        texts = [
            *written(secret).values(),
            *(again for once in written(secret).values() for again in written(once).values()),
        ]
        assert [text for text in texts if {"J", "K", "Q"} & set(mask(text))] == []


def test_what_stands_beside_a_value_stays() -> None:
    mask = mask_of({"password": "a\\b c", "token": ["Zoë", "oëx"]})
    assert mask(r"C:\new\x.txt a\\b%20c") == rf"C:\new\x.txt {MASK}"
    assert mask("Zoëx and Zo\\xeb, 1 + 1") == f"{MASK} and {MASK}, 1 + 1"


def test_of_a_value_that_holds_another_one_nothing_is_left() -> None:
    assert mask_of({"password": "hunter2000", "token": "nter"})("no hunter2000 here") == f"no {MASK} here"


def test_texts_of_very_many_values_are_hidden_whole() -> None:
    mask = mask_of({"password": [f"{number:05}" for number in range(10_000)]})
    assert mask("00001 of " + "x" * 3_000) == MASK
    assert mask("00001 of x") == f"{MASK} of x"


def test_texts_of_very_many_escapes_are_hidden_whole() -> None:
    mask = mask_of({"password": "a b"})
    assert mask("\\n" * 200_000) == MASK
    assert mask("\\n" * 20_000 + "a%20b") == "\\n" * 20_000 + MASK
