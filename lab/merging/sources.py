"""The modules of a checkout: their text, and what a name that one imports from another is."""

from __future__ import annotations

import ast
import functools
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

from lab.merging.scopes import Scopes

PACKAGE: Final = "django_jobs"
PLACES: Final = (PACKAGE, "tests", "lab", "example_project", "docs")


def names_bound_by(node: ast.stmt) -> list[str]:
    """Return the names that a statement binds at its own level."""
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return [node.name]
    if isinstance(node, ast.Assign | ast.AnnAssign | ast.AugAssign):
        targets = node.targets if isinstance(node, ast.Assign) else [node.target]
        found = [item for target in targets for item in ast.walk(target) if isinstance(item, ast.Name)]
        return [item.id for item in found if isinstance(item.ctx, ast.Store)]
    if isinstance(node, ast.If | ast.Try | ast.With | ast.For):
        parts = [node.body, getattr(node, "orelse", []), getattr(node, "finalbody", [])]
        parts += [handler.body for handler in getattr(node, "handlers", [])]
        inner = [item for part in parts for item in part if not isinstance(item, ast.Import | ast.ImportFrom)]
        return sorted({name for item in inner for name in names_bound_by(item)})
    return []


class Source:
    """A module's text and tree. Places in it are bytes, as the tree counts them."""

    def __init__(self, name: str, path: Path, text: str) -> None:
        self.name, self.path, self.raw = name, path, text.encode()
        self.tree = ast.parse(text)
        self.lines = text.split("\n")
        self._offsets = [0]
        for line in self.lines:
            self._offsets.append(self._offsets[-1] + len(line.encode()) + 1)
        self.own = {name for statement in self.tree.body for name in names_bound_by(statement)}

    @functools.cached_property
    def scopes(self) -> Scopes:
        """Return what its names refer to."""
        return Scopes(self.tree)

    def at(self, line: int, column: int = 0) -> int:
        """Return the place of a line and a column."""
        return self._offsets[line - 1] + column

    def span(self, node: Any) -> tuple[int, int]:
        """Return where a node begins and ends."""
        return self.at(node.lineno, node.col_offset), self.at(node.end_lineno, node.end_col_offset)


@dataclass(frozen=True, slots=True)
class Meaning:
    """What an imported name is: a module, a name of one, or a name that one has from elsewhere."""

    kind: Literal["module", "name", "other"]
    module: str
    name: str = ""


class Checkout:
    """All modules, by their dotted names."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.sources: dict[str, Source] = {}
        for path in sorted(path for place in PLACES for path in (root / place).rglob("*.py")):
            name = ".".join(path.relative_to(root).with_suffix("").parts).removesuffix(".__init__")
            self.sources[name] = Source(name, path, path.read_text())

    def meaning(self, module: str, name: str) -> Meaning:
        """Return what ``from module import name`` gives."""
        source = self.sources.get(module)
        if f"{module}.{name}" in self.sources and (source is None or name not in source.own):
            return Meaning("module", f"{module}.{name}")
        if source is None:
            return Meaning("other", module, name)
        if name not in source.own:
            for statement, scope, _ in source.scopes.imports:
                for alias in statement.names:
                    if scope.is_module and (alias.asname or alias.name) == name:
                        if isinstance(statement, ast.Import):
                            return Meaning("other", "", name)
                        return self.meaning(statement.module or "", alias.name)
        return Meaning("name", module, name)
