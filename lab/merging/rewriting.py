"""What a plan changes in one module: its imports, the names that it uses, and texts that name modules."""

from __future__ import annotations

import ast
import textwrap
from collections import defaultdict
from dataclasses import dataclass
from typing import Any

from lab.merging.plan import Plan
from lab.merging.scopes import Scope, is_for_types
from lab.merging.sources import PACKAGE, Checkout, Meaning, Source

Edit = tuple[int, int, str]


@dataclass(frozen=True, slots=True, order=True)
class Import:
    """``from module import name as local``; without a module ``import name as local``."""

    module: str
    name: str
    local: str

    @property
    def clause(self) -> str:
        """Return the name, and what it is called here."""
        is_renamed = self.local != self.name and (self.module or self.local != self.name.split(".")[0])
        return f"{self.name} as {self.local}" if is_renamed else self.name


def module_import(module: str, local: str) -> Import:
    """Return the import of a module by its package."""
    package, _, name = module.rpartition(".")
    return Import(package, name, local)


class Rewriting:
    """The edits of one module, and for a part of a new one what that must import."""

    def __init__(self, source: Source, plan: Plan, checkout: Checkout) -> None:
        self._source, self._plan, self._checkout = source, plan, checkout
        self._scopes = source.scopes
        self._group = plan.home.get(source.name)
        self._keeps_locals = not source.name.startswith(PACKAGE)
        self._taken = plan.own_names(self._group, checkout) if self._group else set()
        self._merged: dict[tuple[Scope, str], Meaning] = {}
        self._renamed_here: set[tuple[Scope, str]] = set()
        self._wanted: defaultdict[tuple[Scope, str], set[Import]] = defaultdict(set)
        self.edits: set[Edit] = set()
        self.problems: list[str] = []
        #: What a new module imports since this is a part of it, and whether for type checkers alone.
        self.needs: set[tuple[Import, bool]] = set()
        self._find_merged()
        for node, scope in self._scopes.uses:
            self._use(node, scope)
        self._definitions()
        for statement, scope, for_types in self._scopes.imports:
            self._import(statement, scope, for_types=for_types)
        self._texts()

    def text(self, begin: int = 0, end: int | None = None) -> str:
        """Return a piece of the module as it is after the edits."""
        raw, found, at = self._source.raw, [], begin
        end = len(raw) if end is None else end
        for first, last, text in sorted(self.edits):
            if first < begin or last > end:
                continue
            if first < at:
                self.problems.append(f"{self._source.name}: two edits of {raw[first:last]!r}")
                continue
            found += [raw[at:first].decode(), text]
            at = last
        return "".join([*found, raw[at:end].decode()])

    def _find_merged(self) -> None:
        for statement, scope, _ in self._scopes.imports:
            for alias in statement.names:
                if isinstance(statement, ast.Import):
                    if alias.name in self._plan.home:
                        self._complain(statement, "a module is imported by its whole name")
                    continue
                meaning = self._checkout.meaning(statement.module or "", alias.name)
                is_module = meaning.kind == "module" and meaning.module in self._plan.home
                if is_module or statement.module in self._plan.home:
                    self._merged[scope, alias.asname or alias.name] = meaning
                if alias.asname:
                    self._renamed_here.add((scope, alias.asname))

    def _complain(self, node: Any, text: str) -> None:
        self.problems.append(f"{self._source.name}:{node.lineno}: {text}")

    def _edit(self, node: Any, text: str) -> None:
        begin, end = self._source.span(node)
        if self._source.raw[begin:end].decode() != text:
            self.edits.add((begin, end, text))

    def _put(self, node: Any, scope: Scope, text: str) -> None:
        """Write another name for a use: one that is the module's there, too."""
        found = scope.find(text.partition(".")[0])
        if found is not None and not found.is_module:
            self._complain(node, f"{text} is a local name there")
        self._edit(node, text)

    def _use(self, node: ast.Name, scope: Scope) -> None:
        found = scope.find(node.id)
        if found is None:
            return
        meaning = self._merged.get((found, node.id))
        if meaning is None:
            if found.is_module and self._group:
                change = self._plan.new_name if node.id in self._source.own else self._plan.new_import
                new = change(self._source.name, node.id)
                if new != node.id:
                    self._put(node, scope, new)
        elif meaning.kind == "module":
            self._use_module(node, scope, found, meaning.module)
        elif meaning.kind == "other":
            self._wanted[found, node.id].add(Import(meaning.module, meaning.name, node.id))
        else:
            self._use_name(node, scope, found, meaning)

    def _use_name(self, node: ast.Name, scope: Scope, found: Scope, meaning: Meaning) -> None:
        home, new = self._plan.home[meaning.module], self._plan.new_name(meaning.module, meaning.name)
        stays = home != self._group and (self._keeps_locals or (found, node.id) in self._renamed_here)
        local = node.id if stays else new
        if local != node.id:
            self._put(node, scope, local)
        if home != self._group:
            self._wanted[found, node.id].add(Import(home, new, local))

    def _use_module(self, node: ast.Name, scope: Scope, found: Scope, module: str) -> None:
        parent = self._scopes.parents.get(node)
        if not isinstance(parent, ast.Attribute):
            self._use_bare(node, scope, found, module)
            return
        inner = self._checkout.meaning(module, parent.attr)
        home = self._plan.home.get(inner.module)
        if inner.kind == "other" and home is None:
            self._put(parent, scope, inner.name)
            self._wanted[found, node.id].add(Import(inner.module, inner.name, inner.name))
        elif inner.kind != "name" or home is None:
            self._complain(node, f"{node.id}.{parent.attr} lives in {inner.module}")
        elif home == self._group:
            self._put(parent, scope, self._plan.new_name(inner.module, inner.name))
        else:
            self._use_of_other(node, parent, scope, found, home, self._plan.new_name(inner.module, inner.name))

    def _use_of_other(
        self, node: ast.Name, parent: ast.Attribute, scope: Scope, found: Scope, home: str, new: str
    ) -> None:
        keeps = self._keeps_locals and (found, node.id) in self._renamed_here
        local = node.id if keeps else home.rpartition(".")[2]
        others = [item for item in self._scopes.all if local in item.bound and not self._is_home(item, local, home)]
        if local in self._taken or (local != node.id and others):
            self._put(parent, scope, new)
            self._wanted[found, node.id].add(Import(home, new, new))
        else:
            self._edit(parent, f"{local}.{new}")
            self._wanted[found, node.id].add(module_import(home, local))

    def _is_home(self, scope: Scope, local: str, home: str) -> bool:
        """Return whether a name that is bound here is a module that becomes the same one."""
        meaning = self._merged.get((scope, local))
        return meaning is not None and meaning.kind == "module" and self._plan.home.get(meaning.module) == home

    def _use_bare(self, node: ast.Name, scope: Scope, found: Scope, module: str) -> None:
        """Change a module that is used as a value, as by ``monkeypatch.setattr(module, "name", …)``."""
        home = self._plan.home[module]
        if home == self._group:
            self._complain(node, f"{node.id} is used as a value")
        keeps = self._keeps_locals and (found, node.id) in self._renamed_here
        local = node.id if keeps else home.rpartition(".")[2]
        if local != node.id:
            self._put(node, scope, local)
        self._wanted[found, node.id].add(module_import(home, local))
        call = self._scopes.parents.get(node)
        if isinstance(call, ast.Call) and call.args[:1] == [node] and len(call.args) > 1:
            self._rename_text(module, call.args[1])

    def _rename_text(self, module: str, node: ast.expr) -> None:
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            first, *rest = node.value.split(".")
            new = self._plan.new_name(module, first)
            if new != first:
                self._edit(node, f'"{".".join([new, *rest])}"')

    def _definitions(self) -> None:
        for statement in self._source.tree.body if self._group else ():
            for node in ast.walk(statement) if isinstance(statement, ast.If | ast.Try) else (statement,):
                if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                    continue
                new = self._plan.new_name(self._source.name, node.name)
                if new != node.name:
                    line = self._source.lines[node.lineno - 1]
                    begin = self._source.at(node.lineno, line.index(node.name, node.col_offset + len("def")))
                    self.edits.add((begin, begin + len(node.name), new))

    def _import(self, statement: ast.Import | ast.ImportFrom, scope: Scope, *, for_types: bool) -> None:
        parent = self._scopes.parents.get(statement)
        if self._group and scope.is_module and (parent is self._source.tree or (parent and is_for_types(parent))):
            self._hoist(statement, scope, for_types=for_types)
            return
        merged = [alias for alias in statement.names if (scope, alias.asname or alias.name) in self._merged]
        if not merged or isinstance(statement, ast.Import):
            return
        clauses: defaultdict[str, set[str]] = defaultdict(set)
        for alias in statement.names:
            local = alias.asname or alias.name
            for item in self._imports_of(scope, local) if alias in merged else ():
                clauses[item.module].add(item.clause)
            if alias not in merged:
                clauses[statement.module or ""].add(Import(statement.module or "", alias.name, local).clause)
        lines = [f"from {module} import {', '.join(sorted(names))}" for module, names in sorted(clauses.items())]
        if not lines and parent is not None and getattr(parent, "body", None) == [statement]:
            lines = ["pass"]
        self._edit(statement, f"\n{' ' * statement.col_offset}".join(lines))

    def _imports_of(self, scope: Scope, local: str) -> set[Import]:
        """Return what takes the place of an import; the same name, where nothing here uses it, since others may."""
        wanted = self._wanted[scope, local]
        meaning = self._merged[scope, local]
        home = self._plan.home.get(meaning.module)
        if wanted or home is None or home == self._group:
            return wanted
        if meaning.kind == "module":
            return {module_import(home, local)}
        return {Import(home, self._plan.new_name(meaning.module, meaning.name), local)}

    def _hoist(self, statement: ast.Import | ast.ImportFrom, scope: Scope, *, for_types: bool) -> None:
        for alias in statement.names:
            local = alias.asname or alias.name
            if (scope, local) in self._merged:
                found = self._wanted[scope, local]
            elif isinstance(statement, ast.Import):
                found = {Import("", alias.name, alias.asname or alias.name.split(".")[0])}
            else:
                found = {Import(statement.module or "", alias.name, self._plan.new_import(self._source.name, local))}
            self.needs |= {(item, for_types) for item in found if item.module != "__future__"}

    def _texts(self) -> None:
        for node in ast.walk(self._source.tree):
            parent = self._scopes.parents.get(node)
            if (
                not isinstance(node, ast.Constant)
                or not isinstance(node.value, str)
                or isinstance(parent, ast.JoinedStr)
            ):
                continue
            items = parent.args if isinstance(parent, ast.Call) else getattr(parent, "elts", [])
            if node.value in self._plan.home and node in items[:-1]:
                self._rename_text(node.value, items[items.index(node) + 1])
            begin, end = self._source.span(node)
            before = self._source.raw[begin:end].decode()
            after = self._code_in(before, node.value) or self._plan.in_text(before)
            if after != before:
                self.edits.add((begin, end, after))

    def _code_in(self, literal: str, value: str) -> str:
        """Return the literal of a piece of code, as a process of its own runs it, rewritten as a module is."""
        if "import" not in value or PACKAGE not in value or value not in literal:
            return ""
        try:
            inner = Source("tests.code", self._source.path, textwrap.dedent(value))
        except SyntaxError:
            return ""
        inner_rewriting = Rewriting(inner, self._plan, self._checkout)
        if not inner_rewriting.edits:
            return ""
        indent = value[: len(value) - len(value.lstrip(" \n"))].rpartition("\n")[2]
        return literal.replace(value, textwrap.indent(inner_rewriting.text(), indent))
