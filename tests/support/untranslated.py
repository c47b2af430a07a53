"""Finds texts in Python code that people read and that do not go through gettext."""

from __future__ import annotations

import ast
import re
from typing import Final

#: What marks a text for translation.
MARKS: Final = frozenset(
    {
        *("_", "gettext", "gettext_lazy", "ngettext", "ngettext_lazy", "gettext_noop"),
        *("pgettext", "pgettext_lazy", "npgettext", "npgettext_lazy"),
    }
)
#: Calls whose texts are for developers, machines or histories, which stay English.
SILENT: Final = frozenset(
    {
        *("getLogger", "debug", "info", "warning", "error", "exception", "critical", "log", "remember", "record"),
        *("TypeVar", "compile", "sub", "match", "search", "fullmatch", "findall", "finditer", "split"),
        *("extra", "annotate", "filter", "register", "setdefault", "getattr", "setattr", "hasattr", "isinstance"),
    }
)
#: Keywords and names whose value people read, were it a single word.
SHOWN: Final = frozenset(
    {
        *("description", "label", "help_text", "title", "text", "words", "advice", "told", "consequence", "yes"),
        *("short_description", "search_help_text", "empty_value_display", "verbose_name", "verbose_name_plural"),
        *(
            "site_title",
            "site_header",
            "index_title",
            "subtitle",
            "heading",
            "caption",
            "reason",
            "hint",
            "unit",
            "yes",
        ),
    }
)
#: Keywords whose text a history keeps, in English.
HISTORIES: Final = frozenset({"done"})
#: Calls with positional texts: which of their arguments people read.
PLACES: Final = {
    "message_user": (1,),
    "fact": (0,),
    "field": (0,),
    "ValidationError": (0,),
    "page": (2, 3),
    "form_page": (2,),
    "in_words": (0, 1),
}
_WORD: Final = r"[^\W\d_]{2,}"
_PROSE: Final = re.compile(rf"{_WORD}'?[,.;:…]? +\(?{_WORD}|^[A-Z][^\W\d_]+[.?!…]$")
_BESIDE: Final = re.compile(rf"(?:^|\s){_WORD}[.,:;]?(?:\s|$)")
#: A word that begins like a sentence, alone: a title, or what stands on a button.
_TITLE: Final = re.compile(r"^[A-Z][a-z]{2,}$")
#: The route of an address.
_ROUTE: Final = re.compile(r"<(?:int|path|slug|str|uuid):")
_TAG: Final = re.compile(r"<[^>]*>|&[a-z]+;")
_FIELD: Final = re.compile(r"{[^}]*}")
_ONE: Final = re.compile(_WORD)


def untranslated(source: str) -> list[tuple[int, str]]:
    """Return the line and the text of each literal that people read and that nothing marks for translation."""
    return sorted(set(_Finder(ast.parse(source)).found))


class _Finder(ast.NodeVisitor):
    def __init__(self, tree: ast.Module) -> None:
        self.found: list[tuple[int, str]] = []
        self.visit(tree)

    def visit_Call(self, node: ast.Call) -> None:
        name = _name_of(node.func)
        if name in MARKS or name in SILENT:
            return
        for place in PLACES.get(name, ()):
            if len(node.args) > place:
                self._read(node.args[place])
        for keyword in node.keywords:
            if keyword.arg in SHOWN:
                self._read(keyword.value)
            if keyword.arg not in HISTORIES:
                self.visit(keyword.value)
        for part in (node.func, *node.args):
            self.visit(part)

    def visit_Raise(self, node: ast.Raise) -> None:
        if isinstance(node.exc, ast.Call) and _name_of(node.exc.func) == "ValidationError":
            self.visit(node.exc)

    def visit_Assert(self, node: ast.Assert) -> None:
        """An assertion speaks to developers."""

    def visit_Expr(self, node: ast.Expr) -> None:
        if not isinstance(node.value, ast.Constant):  # a docstring
            self.visit(node.value)

    def visit_Assign(self, node: ast.Assign) -> None:
        names = set(map(_name_of, node.targets))
        if names & SHOWN:
            self._read(node.value)
        if "__all__" not in names:
            self.visit(node.value)

    def visit_AnnAssign(self, node: ast.AnnAssign) -> None:
        if node.value is not None:
            if _name_of(node.target) in SHOWN:
                self._read(node.value)
            self.visit(node.value)

    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
        if node.name in {"__str__", "__repr__"}:  # histories and logs keep what they return
            return
        for part in (*node.decorator_list, *node.args.defaults, *node.body):
            self.visit(part)

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        bases = " ".join(map(_name_of, node.bases))
        for part in (*node.decorator_list, *node.body):
            if isinstance(part, ast.Assign) and "AppConfig" in bases and _name_of(part.targets[0]) == "label":
                continue  # a name in Python
            if isinstance(part, ast.Assign) and isinstance(part.value, ast.Tuple) and "Choices" in bases:
                self._read(part.value.elts[-1])  # the label; the value is stored
            else:
                self.visit(part)

    def visit_Dict(self, node: ast.Dict) -> None:
        for key, value in zip(node.keys, node.values, strict=True):
            if not (isinstance(key, ast.Constant) and key.value == "class"):  # names of style sheets
                self.visit(value)
            if key is not None:
                self.visit(key)

    def visit_JoinedStr(self, node: ast.JoinedStr) -> None:
        parts = [str(part.value) if isinstance(part, ast.Constant) else "{}" for part in node.values]
        text = _TAG.sub(" ", "".join(parts))
        if _PROSE.search(text) or _BESIDE.search(text):
            self.found.append((node.lineno, text))
        for part in node.values:
            if isinstance(part, ast.FormattedValue):
                self.visit(part.value)

    def visit_Constant(self, node: ast.Constant) -> None:
        if not isinstance(node.value, str):
            return
        text = _TAG.sub(" ", node.value)
        is_markup = _TAG.search(node.value) and not _ROUTE.search(node.value)
        has_word = is_markup and _ONE.search(_FIELD.sub(" ", text))
        if _PROSE.search(text) or _TITLE.search(text) or has_word:
            self.found.append((node.lineno, node.value))

    def _read(self, node: ast.AST) -> None:
        """Note a literal of which one word is enough, as it stands where people read it."""
        if isinstance(node, ast.IfExp):
            self._read(node.body)
            self._read(node.orelse)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and _ONE.search(node.value):
            self.found.append((node.lineno, node.value))


def _name_of(node: ast.AST) -> str:
    if isinstance(node, ast.Subscript):
        return _name_of(node.value)
    return node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""
