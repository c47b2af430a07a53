"""One name is one thing in the whole package."""

from __future__ import annotations

import ast
from collections import defaultdict
from pathlib import Path
from typing import Final

import django_jobs

PACKAGE: Final = Path(django_jobs.__file__).parent
#: The names that Django gives to a class of each module of its kind.
DJANGOS: Final = {"Command", "Migration"}


def test_each_class_has_a_name_of_its_own() -> None:
    homes: defaultdict[str, list[str]] = defaultdict(list)
    for path in PACKAGE.rglob("*.py"):
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.ClassDef) and node.name not in DJANGOS:
                homes[node.name].append(str(path.relative_to(PACKAGE)))
    assert {name: sorted(found) for name, found in homes.items() if len(found) > 1} == {}
