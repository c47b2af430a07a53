"""A plan: which modules become one, and what is called otherwise there."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Collection
from pathlib import Path

from lab.merging.sources import PACKAGE, Checkout


class Plan:
    """A file whose tables are the new modules.

    ``parts`` are the old ones, in order; ``doc`` is the docstring. ``names`` says what is called otherwise there, as
    ``"old.module.name" = "new"``, and ``imports`` which imported name of an old module gets another one. Each of
    ``mends`` says what a hand changes afterwards: in ``file``, ``old`` becomes ``new``.
    """

    def __init__(self, path: Path, checkout: Checkout) -> None:
        tables = tomllib.loads(path.read_text())
        self.mends: list[dict[str, str]] = tables.pop("mends", [])
        self.parts: dict[str, list[str]] = {target: table["parts"] for target, table in tables.items()}
        self.docs: dict[str, str] = {target: table.get("doc", "") for target, table in tables.items()}
        self.home = {part: target for target, parts in self.parts.items() for part in parts}
        self._names = {
            tuple(old.rsplit(".", 1)): new for item in tables.values() for old, new in item.get("names", {}).items()
        }
        self._imports = {
            tuple(old.rsplit(".", 1)): new for item in tables.values() for old, new in item.get("imports", {}).items()
        }
        self.problems = [f"there is no {part}" for part in self.home if part not in checkout.sources]
        for module, name in self._names:
            if module not in self.home or name not in checkout.sources[module].own:
                self.problems.append(f"{module} has no {name}, or is not merged")

    def new_name(self, module: str, name: str) -> str:
        """Return what a name of an old module is called now."""
        return self._names.get((module, name), name)

    def new_import(self, module: str, name: str) -> str:
        """Return what an old module's imported name is called now."""
        return self._imports.get((module, name), name)

    def own_names(self, target: str, checkout: Checkout) -> Collection[str]:
        """Return the names that a new module defines."""
        return {self.new_name(part, name) for part in self.parts[target] for name in checkout.sources[part].own}

    def mend(self, root: Path) -> list[str]:
        """Make the changes by hand, once all is merged, and return which of them find no place."""
        lost = []
        for mend in self.mends:
            path = root / mend["file"]
            before, found, after = path.read_text().partition(mend["old"])
            if found:
                path.write_text(before + mend["new"] + after)
            else:
                lost.append(f"{mend['file']} has no {mend['old'].strip()!r}")
        return lost

    def in_text(self, text: str) -> str:
        """Return a text in which dotted names and paths of old modules are those of the new ones."""
        text = re.sub(rf"\b{PACKAGE}(\.\w+){{2,}}", lambda found: self._dotted(found[0]), text)
        return re.sub(rf"(?<![\w/.])((?:{PACKAGE}/)?(?:\w+/)*\w+)\.py\b", lambda found: self._path(found[1]), text)

    def _dotted(self, text: str) -> str:
        words = text.split(".")
        for count in range(len(words), 2, -1):
            old = ".".join(words[:count])
            if old in self.home:
                rest = words[count:]
                return ".".join([self.home[old], *(self.new_name(old, name) for name in rest[:1]), *rest[1:]])
        return text

    def _path(self, text: str) -> str:
        prefix = "" if text.startswith(f"{PACKAGE}/") else f"{PACKAGE}/"
        home = self.home.get((prefix + text).replace("/", "."))
        return f"{text if home is None else home.replace('.', '/').removeprefix(prefix)}.py"
