"""The colors of the members' page are told apart and read by everybody, and none of them shouts."""

from __future__ import annotations

from itertools import combinations
from pathlib import Path
from typing import Final

import pytest

import example_project
from tests.support.colors import colors_in, contrast, distance, is_red, rules

STATIC: Final = Path(example_project.__file__).parent / "shop/static/shop"
COLORS: Final = {name: colors_in(value) for _, name, value in rules(STATIC / "shop.css") if name.startswith("--")}
STATES: Final = ("--accent", "--good", "--warn", "--bad")
#: Light and dark.
SCHEMES: Final = (0, 1)


def test_nothing_is_red_since_nothing_there_is_an_alarm() -> None:
    found = [color for sheet in STATIC.glob("*.css") for _, _, value in rules(sheet) for color in colors_in(value)]
    assert list(filter(is_red, found)) == []


@pytest.mark.parametrize("scheme", SCHEMES, ids=["light", "dark"])
def test_states_are_read_on_every_ground_and_told_apart(scheme: int) -> None:
    grounds = [COLORS[name][scheme] for name in ("--ground", "--card", "--good-ground", "--bad-ground")]
    texts = [COLORS[name][scheme] for name in (*STATES, "--ink", "--muted")]
    assert min(contrast(text, ground) for text in texts for ground in grounds) >= 4.5
    assert min(distance(*pair) for pair in combinations([COLORS[name][scheme] for name in STATES], 2)) >= 30
