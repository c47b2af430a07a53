"""What each name of a module refers to."""

from __future__ import annotations

import ast
from collections.abc import Callable
from typing import Any, Final

COMPREHENSIONS: Final = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)


def is_for_types(node: ast.AST) -> bool:
    """Return whether it is a block that only a type checker reads."""
    return isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"


class Scope:
    """A module, a class, a function or a comprehension, and the names that it binds."""

    def __init__(self, node: ast.AST, parent: Scope | None) -> None:
        self.node, self.parent = node, parent
        self.bound: set[str] = set()
        self.outer: set[str] = set()

    @property
    def is_module(self) -> bool:
        """Return whether it is the module itself."""
        return self.parent is None

    def find(self, name: str) -> Scope | None:
        """Return the scope that binds a name as it is used here."""
        scope: Scope | None = self
        while scope is not None:
            if name in scope.bound - scope.outer and (scope is self or not isinstance(scope.node, ast.ClassDef)):
                return scope
            scope = scope.parent
        return None


class Scopes(ast.NodeVisitor):
    """The scopes of a module, its imports, and where names are used."""

    def __init__(self, tree: ast.Module) -> None:
        self._scope = self.module = Scope(tree, None)
        self.all = [self.module]
        self.uses: list[tuple[ast.Name, Scope]] = []
        #: Each statement, its scope, and whether it is for type checkers alone.
        self.imports: list[tuple[ast.ImportFrom | ast.Import, Scope, bool]] = []
        self.parents = {child: node for node in ast.walk(tree) for child in ast.iter_child_nodes(node)}
        self._for_types = 0
        for statement in tree.body:
            self.visit(statement)

    def _inside(self, node: ast.AST, names: list[str], visit: Callable[[], None]) -> None:
        before, self._scope = self._scope, Scope(node, self._scope)
        self._scope.bound.update(names)
        self.all.append(self._scope)
        visit()
        self._scope = before

    def _visit_all(self, nodes: Any) -> None:
        for node in nodes:
            if node is not None:
                self.visit(node)

    def _function(self, node: Any) -> None:
        arguments = node.args
        every = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs, arguments.vararg, arguments.kwarg]
        given = [item for item in every if item is not None]
        self._visit_all([*getattr(node, "decorator_list", ()), *arguments.defaults, *arguments.kw_defaults])
        self._visit_all([*(item.annotation for item in given), getattr(node, "returns", None)])
        body = node.body if isinstance(node.body, list) else [node.body]
        self._inside(node, [item.arg for item in given], lambda: self._visit_all(body))

    def visit_FunctionDef(self, node: Any) -> None:
        """Enter a function."""
        self._scope.bound.add(node.name)
        self._function(node)

    visit_AsyncFunctionDef = visit_FunctionDef  # noqa: N815  (as ast calls it)

    def visit_Lambda(self, node: ast.Lambda) -> None:
        """Enter a lambda."""
        self._function(node)

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        """Enter a class."""
        self._scope.bound.add(node.name)
        self._visit_all([*node.decorator_list, *node.bases, *node.keywords])
        self._inside(node, [], lambda: self._visit_all(node.body))

    def _comprehension(self, node: Any) -> None:
        parts = [*node.generators, *(getattr(node, name, None) for name in ("elt", "key", "value"))]
        self._inside(node, [], lambda: self._visit_all(parts))

    visit_ListComp = visit_SetComp = visit_DictComp = visit_GeneratorExp = _comprehension  # noqa: N815  (as ast calls it)

    def visit_NamedExpr(self, node: ast.NamedExpr) -> None:
        """Bind the name around the comprehension."""
        scope = self._scope
        while isinstance(scope.node, COMPREHENSIONS) and scope.parent is not None:
            scope = scope.parent
        scope.bound.add(node.target.id)
        self.uses.append((node.target, scope))
        self.visit(node.value)

    def visit_Name(self, node: ast.Name) -> None:
        """Note a use."""
        if not isinstance(node.ctx, ast.Load):
            self._scope.bound.add(node.id)
        self.uses.append((node, self._scope))

    def visit_Global(self, node: ast.Global) -> None:
        """Note what is the module's."""
        self._scope.outer.update(node.names)

    def visit_ExceptHandler(self, node: ast.ExceptHandler) -> None:
        """Bind the error."""
        if node.name:
            self._scope.bound.add(node.name)
        self.generic_visit(node)

    def visit_MatchAs(self, node: ast.MatchAs) -> None:
        """Bind what matches."""
        if node.name:
            self._scope.bound.add(node.name)
        self.generic_visit(node)

    def visit_If(self, node: ast.If) -> None:
        """Note what is for type checkers."""
        self._for_types += is_for_types(node)
        self.generic_visit(node)
        self._for_types -= is_for_types(node)

    def visit_Import(self, node: ast.Import | ast.ImportFrom) -> None:
        """Note an import."""
        self._scope.bound.update(alias.asname or alias.name.split(".")[0] for alias in node.names)
        self.imports.append((node, self._scope, bool(self._for_types)))

    visit_ImportFrom = visit_Import  # noqa: N815  (as ast calls it)
