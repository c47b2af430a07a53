"""Which database it is decides a class, once: no other module asks for the vendor."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

import pytest

import django_jobs

PACKAGE: Final = Path(django_jobs.__file__).parent
#: The store, checks of what a database must be, and migrations.
MAY_ASK: Final = ("engine/store/", "checks/", "migrations/")
ASKS: Final = re.compile(r"\bvendor\b|is_postgresql|[\"'](mysql|mariadb|sqlite|postgresql)[\"']", re.IGNORECASE)


def asking(source: str) -> list[int]:
    """The lines that ask which database it is."""
    return [number for number, line in enumerate(source.splitlines(), 1) if ASKS.search(line)]


@pytest.mark.parametrize(
    "source",
    ['if connection.vendor == "x":', "match database.connection().vendor:", "if is_postgresql():", "{'sqlite': 1}"],
)
def test_a_question_is_found(source: str) -> None:
    assert asking(source) == [1]


def test_only_the_store_asks_which_database_it_is() -> None:
    paths = {path.relative_to(PACKAGE).as_posix(): path for path in PACKAGE.rglob("*.py")}
    others = {name: path for name, path in paths.items() if not name.startswith(MAY_ASK)}
    assert len(paths) > len(others) > 100
    assert {name: lines for name, path in others.items() if (lines := asking(path.read_text()))} == {}
