"""Where code spells a set of statuses, instead of naming one of those in ``statuses``."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

from django_jobs.statuses import Status

#: A migration keeps what was true when it was written.
_MAY_SPELL = ("statuses.py", "migrations/")


def spelled_sets(package: Path) -> Iterator[str]:
    """Yield ``file:line`` of each list, tuple, set or comparison that names two statuses or more."""
    for path in sorted(package.rglob("*.py")):
        file = path.relative_to(package).as_posix()
        if file.startswith(_MAY_SPELL):
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if len(_named_together(node)) > 1:
                yield f"{file}:{node.lineno}"  # type: ignore[attr-defined]


def _named_together(node: ast.AST) -> set[str]:
    match node:
        case ast.List(elts=items) | ast.Tuple(elts=items) | ast.Set(elts=items):
            return {name for item in items if (name := _status(item))}
        case ast.BoolOp(values=values):
            return {name for value in values if (name := _compared(value))}
        case ast.BinOp(op=ast.BitOr(), left=left, right=right):
            return {name for side in (left, right) if (name := _status(side))}
    return set()


def _compared(node: ast.expr) -> str | None:
    match node:
        case ast.Compare(ops=[ast.Eq() | ast.NotEq()], comparators=[other]):
            return _status(other)
    return None


def _status(node: ast.expr) -> str | None:
    match node:
        case ast.Attribute(value=ast.Name(id="Status"), attr=name) if name in Status.names:
            return name
        case ast.Call(func=ast.Name(id="str"), args=[inner]):
            return _status(inner)
        case ast.Constant(value=str() as text) if text in Status.values:
            return Status(text).name
    return None
