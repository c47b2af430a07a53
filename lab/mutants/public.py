"""Which tests name nothing of the package that a host may not name: they stay as they are when its inside moves."""

from __future__ import annotations

import ast
import functools
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from lab.mutants.catalogue import ROOT

PACKAGE: Final = "django_jobs"
#: The modules that a test may name. Of the package itself it may name what these do not hold and no other module does.
PUBLIC: Final = frozenset(
    {"testing", "models", "statuses", "exceptions", "signals", "pools", "values", "conf"},
)
#: Calls that take a dotted name, and look inside of the module.
BY_NAME: Final = frozenset(
    {"setattr", "delattr", "patch", "object", "dict", "import_module", "import_string", "getattr"},
)


def names_no_internals(node_id: str) -> bool:
    """Return whether a test, and what it uses of its own module, names only what is public."""
    file, *parts = node_id.split("[", maxsplit=1)[0].split("::")
    return not _module(ROOT / file).internals_of(parts[-1])


@functools.cache
def _module(path: Path) -> _Module:
    return _Module(ast.parse(path.read_text()))


class _Module:
    """A module of tests: its functions and values by name, and what its imports mean."""

    def __init__(self, tree: ast.Module) -> None:
        self._defined: dict[str, list[ast.AST]] = {}
        self._always: list[ast.AST] = []
        self._imports = dict(_imports(tree))
        for scope in (tree, *(node for node in tree.body if isinstance(node, ast.ClassDef))):
            for node in scope.body:
                self._define(node)

    def _define(self, node: ast.stmt) -> None:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            self._defined.setdefault(node.name, []).append(node)
            if any("autouse" in ast.dump(item) for item in node.decorator_list):
                self._always.append(node)
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            for target in targets:
                for name in ast.walk(target):
                    if isinstance(name, ast.Name):
                        self._defined.setdefault(name.id, []).append(node)
                        if name.id == "pytestmark":
                            self._always.append(node)

    def internals_of(self, test: str) -> set[str]:
        """Return what a test names that is internal."""
        own = [*self._defined.get(test, []), *self._always]
        used = {name for node in own for name in _names(node)}
        nodes = own + [node for name in sorted(used) for node in self._defined.get(name, [])]
        return {dotted for node in nodes for dotted in self._dotted(node) if _is_internal(dotted)}

    def _dotted(self, node: ast.AST) -> Iterator[str]:
        for inner in ast.walk(node):
            if isinstance(inner, ast.Import | ast.ImportFrom):
                yield from (dotted for _, dotted in _imports(inner))
            elif isinstance(inner, ast.Name | ast.Attribute):
                name, _, rest = ast.unparse(inner).partition(".")
                if name in self._imports:
                    yield f"{self._imports[name]}.{rest}".rstrip(".")
            elif isinstance(inner, ast.Call) and ast.unparse(inner.func).rpartition(".")[2] in BY_NAME:
                yield from (
                    item.value for item in inner.args if isinstance(item, ast.Constant) and isinstance(item.value, str)
                )


def _names(node: ast.AST) -> Iterator[str]:
    """Yield the names that a function uses; those of its fixtures are names of its parameters, or strings."""
    for inner in ast.walk(node):
        if isinstance(inner, ast.Name):
            yield inner.id
        elif isinstance(inner, ast.arg):
            yield inner.arg
        elif isinstance(inner, ast.Constant) and isinstance(inner.value, str):
            yield inner.value


def _imports(tree: ast.AST) -> Iterator[tuple[str, str]]:
    """Yield the names that imports bind, and what they mean."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for item in node.names:
                yield (item.asname, item.name) if item.asname else (item.name.split(".")[0], item.name.split(".")[0])
        elif isinstance(node, ast.ImportFrom) and node.module:
            for item in node.names:
                yield item.asname or item.name, f"{node.module}.{item.name}"


def _is_internal(dotted: str) -> bool:
    """Return whether a dotted name leads inside of the package: into a module that is not public, or below one."""
    first, *rest = dotted.split(".")
    if first != PACKAGE or not rest:
        return False
    if rest[0] in PUBLIC:
        return len(rest) > 1 and _is_module(rest[:2])
    return _is_module(rest[:1])


@functools.cache
def _is_module_at(path: Path) -> bool:
    return path.with_suffix(".py").exists() or (path / "__init__.py").exists()


def _is_module(parts: list[str]) -> bool:
    return _is_module_at((ROOT / PACKAGE).joinpath(*parts))
