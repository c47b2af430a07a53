"""One name, one thing: no two classes of the engine's half of the package are called the same."""

from __future__ import annotations

import ast
from collections import Counter
from pathlib import Path

PACKAGE = Path(__file__).parents[2] / "django_jobs"
HALVES = ("engine", "worker", "broker", "models")


def test_no_class_name_stands_for_two_things() -> None:
    names: Counter[str] = Counter()
    for path in PACKAGE.rglob("*.py"):
        classes = {item.name for item in ast.parse(path.read_text()).body if isinstance(item, ast.ClassDef)}
        names.update(name for name in classes if path.relative_to(PACKAGE).parts[0] in HALVES)
    assert [name for name, count in names.items() if count > 1] == []
