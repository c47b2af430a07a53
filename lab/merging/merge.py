"""The new modules of a plan, and all other files as they are beside them."""

from __future__ import annotations

import ast
import re
import textwrap
import tomllib
from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import Any, Final

from lab.merging.plan import Plan
from lab.merging.rewriting import Import, Rewriting
from lab.merging.scopes import is_for_types
from lab.merging.sources import Checkout, Source, names_bound_by

WIDTH: Final = 118
TEXTS: Final = {".md", ".toml", ".cfg", ".ini", ".html", ".yml", ".yaml", ".sh", ".txt", ".conf", ""}
MUTANTS: Final = "lab/mutants/areas"


def as_comment(doc: str) -> str:
    """Return a docstring as a comment."""
    parts = []
    for part in doc.split("\n\n"):
        lines = part.split("\n")
        if any(len(line) > WIDTH for line in lines) and not any(line.startswith((" ", "-", "*")) for line in lines):
            lines = textwrap.wrap(" ".join(lines), WIDTH)
        parts.append("\n".join(f"# {line}".rstrip() for line in lines))
    return "\n#\n".join(parts)


def import_lines(items: Iterable[Import]) -> list[str]:
    """Return the statements of these imports."""
    clauses: defaultdict[str, set[str]] = defaultdict(set)
    for item in items:
        clauses[item.module].add(item.clause)
    plain = [f"import {clause}" for clause in sorted(clauses.pop("", set()))]
    return plain + [f"from {module} import {', '.join(sorted(names))}" for module, names in sorted(clauses.items())]


def run_while_imported(statement: ast.AST) -> Iterator[ast.AST]:
    """Yield what is evaluated as soon as a statement is executed."""
    if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef):
        defaults = [*statement.args.defaults, *statement.args.kw_defaults]
        yield from [*statement.decorator_list, *(item for item in defaults if item is not None)]
    elif isinstance(statement, ast.ClassDef):
        yield from [*statement.decorator_list, *statement.bases, *(item.value for item in statement.keywords)]
        for inner in statement.body:
            yield from run_while_imported(inner)
    elif isinstance(statement, ast.AnnAssign):
        if statement.value is not None:
            yield statement.value
    else:
        yield statement


class Merge:
    """Carries out a plan."""

    def __init__(self, checkout: Checkout, plan: Plan) -> None:
        self._checkout, self.plan = checkout, plan
        self.problems = [*plan.problems]
        if self.problems:
            return
        self._rewritings = {name: Rewriting(item, plan, checkout) for name, item in checkout.sources.items()}
        self._new = {target: self._text_of(target) for target in plan.parts}
        for rewriting in self._rewritings.values():
            self.problems += rewriting.problems

    def _needs(self, target: str) -> tuple[dict[str, Import], dict[str, Import]]:
        """Return what a new module imports, and what it imports for type checkers alone, by its local name."""
        found: tuple[dict[str, Import], dict[str, Import]] = ({}, {})
        for part in self.plan.parts[target]:
            for item, for_types in sorted(self._rewritings[part].needs):
                known = found[for_types].setdefault(item.local, item)
                by_length = sorted((known.module, item.module), key=len)
                if known.name == item.name and by_length[1].startswith(f"{by_length[0]}."):
                    found[for_types][item.local] = min(known, item)  # what a package passes on
                elif known != item:
                    self.problems.append(f"{target}: {item.local} is {known} and {item}")
        always, for_types_alone = found
        return always, {name: item for name, item in for_types_alone.items() if name not in always}

    def _needed_while_imported(self, part: str) -> set[str]:
        source = self._checkout.sources[part]
        evaluated = [node for statement in source.tree.body for node in run_while_imported(statement)]
        names = {node.id for item in evaluated for node in ast.walk(item) if isinstance(node, ast.Name)}
        return {
            self._checkout.meaning(statement.module or "", alias.name).module
            for statement, _, _ in source.scopes.imports
            if isinstance(statement, ast.ImportFrom)
            for alias in statement.names
            if (alias.asname or alias.name) in names
        }

    def _ordered(self, target: str) -> list[str]:
        """Return the parts such that whatever a part needs while it is imported comes before it."""
        parts = self.plan.parts[target]
        needs = {part: self._needed_while_imported(part) for part in parts}
        found: list[str] = []

        def visit(part: str, above: tuple[str, ...]) -> None:
            if part in above:
                self.problems.append(f"{target}: {part} needs itself while it is imported")
            elif part not in found:
                for other in parts:
                    if other in needs[part] and other != part:
                        visit(other, (*above, part))
                found.append(part)

        for part in parts:
            visit(part, ())
        return found

    def _text_of(self, target: str) -> str:
        doc, body, seen = self.plan.docs[target], list[str](), dict[str, str]()
        for part in self._ordered(target):
            own_doc = ast.get_docstring(self._checkout.sources[part].tree) or ""
            if not doc:
                doc = own_doc
            elif own_doc:
                body.append(as_comment(own_doc))
            body.append("".join(self._statements(target, part, seen)).strip("\n"))
        always, for_types = self._needs(target)
        for name in seen.keys() & {**always, **for_types}.keys():
            self.problems.append(f"{target}: {name} is defined and imported")
        head = [f'"""{doc}\n"""' if "\n" in doc else f'"""{doc}"""', "", "from __future__ import annotations", ""]
        head += import_lines(always.values())
        if for_types:
            head += ["", "if TYPE_CHECKING:", *(f"    {line}" for line in import_lines(for_types.values()))]
        return "\n".join(head) + "\n\n" + "\n\n\n".join(part for part in body if part) + "\n"

    def _statements(self, target: str, part: str, seen: dict[str, str]) -> Iterator[str]:
        """Yield the statements of a part without its imports, each with the comments before it."""
        source, at = self._checkout.sources[part], 0
        for number, statement in enumerate(source.tree.body):
            begin, (_, end) = at, source.span(statement)
            line_end = source.at((statement.end_lineno or 0) + 1) - 1
            if source.raw[end:line_end].strip().startswith(b"#"):
                end = line_end
            at = end
            if number == 0 and isinstance(statement, ast.Expr):
                continue
            if isinstance(statement, ast.Import | ast.ImportFrom):
                comment = source.raw[begin : source.at(statement.lineno)].decode().strip()
                yield f"\n{comment}\n" if comment else ""
            elif not self._is_needless(target, part, statement, seen):
                yield self._rewritings[part].text(begin, end)
        tail = source.raw[at:].decode().strip("\n")
        yield f"\n{tail}" if tail else ""

    def _is_needless(self, target: str, part: str, statement: ast.stmt, seen: dict[str, str]) -> bool:
        """Return whether a new module has a statement already, or has no use for it. Complain of a second one."""
        inner = getattr(statement, "body", [])
        if is_for_types(statement) and all(isinstance(item, ast.Import | ast.ImportFrom) for item in inner):
            return True
        names = [self.plan.new_name(part, name) for name in names_bound_by(statement)]
        text = ast.dump(statement)
        is_again = isinstance(statement, ast.Assign | ast.AnnAssign) and {seen.get(name) for name in names} == {text}
        if is_again or names == ["__all__"]:
            return True
        overloads = any("overload" in ast.dump(item) for item in getattr(statement, "decorator_list", ()))
        for name in names:
            if name in seen and seen[name] != "overload" and not isinstance(statement, ast.AugAssign):
                self.problems.append(f"{target}: {name} is there twice, again in {part}")
            seen[name] = "overload" if overloads else text
        return False

    def write(self) -> None:
        """Write all files that change."""
        root, plan = self._checkout.root, self.plan
        changed = {name: item.text() for name, item in self._rewritings.items() if item.edits and name not in plan.home}
        self._move_mutants()
        for part in plan.home:
            self._checkout.sources[part].path.unlink()
        for target, text in self._new.items():
            path = root / f"{target.replace('.', '/')}.py"
            if path.with_suffix("").is_dir():
                self._remove_directory(path.with_suffix(""))
            path.write_text(text)
        for name, text in changed.items():
            self._checkout.sources[name].path.write_text(text)
        for path in root.rglob("*"):
            is_text = path.suffix in TEXTS and path.is_file() and ".git" not in path.parts
            if is_text and not str(path.relative_to(root)).startswith(("lab/mutants", "lab/merging")):
                self._rename_in(path)

    @staticmethod
    def _remove_directory(path: Any) -> None:
        for item in path.rglob("*.pyc"):
            item.unlink()
        for item in sorted(path.rglob("*"), reverse=True):
            item.rmdir()
        path.rmdir()

    def _rename_in(self, path: Any) -> None:
        try:
            text = path.read_text()
        except UnicodeDecodeError:
            return
        new = self.plan.in_text(text)
        if new != text:
            path.write_text(new)

    def _move_mutants(self) -> None:
        """Have the mutants name the new files, and the new names in what they change."""
        root = self._checkout.root
        sources = {str(item.path.relative_to(root)): item for item in self._checkout.sources.values()}
        for path in sorted((root / MUTANTS).glob("*.toml")):
            text = path.read_text()
            for mutant, table in tomllib.loads(text).items():
                source = sources.get(table["file"])
                if source is None:
                    continue
                begin = text.index(f"[{mutant}]\n")
                end = text.find("\n[", begin)
                block = text[begin : end if end >= 0 else len(text)]
                new = self._moved_mutant(block, table, source)
                text = text[:begin] + new + text[begin + len(block) :]
            path.write_text(text)

    def _moved_mutant(self, block: str, table: dict[str, Any], source: Source) -> str:
        home = self.plan.home.get(source.name)
        if home is not None:
            block = block.replace(table["file"], f"{home.replace('.', '/')}.py")
        edits = {source.raw[begin:end].decode(): text for begin, end, text in self._rewritings[source.name].edits}
        for key in ("old", "new"):
            before = after = table[key]
            for old in sorted((item for item in edits if "\n" not in item), key=len, reverse=True):
                after = re.sub(rf"(?<![\w.]){re.escape(old)}(?!\w)", lambda _, old=old: edits[old], after)
            block = block.replace(before, after)
        return block
