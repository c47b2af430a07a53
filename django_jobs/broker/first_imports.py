"""Calls a function once a module has been imported, so that nobody need import it only to change it."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

Change = Callable[[ModuleType], object]


class _Loader(Loader):
    """Loads one module as its own loader does, and changes it then."""

    def __init__(self, own: Any, change: Change) -> None:
        self._own = own
        self._change = change

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return self._own.create_module(spec)  # type: ignore[no-any-return]

    def exec_module(self, module: ModuleType) -> None:
        self._own.exec_module(module)
        self._change(module)

    def __getattr__(self, name: str) -> Any:
        """Return what else the loader has, as the source that tracebacks show."""
        return getattr(self._own, name)


class _Finder(MetaPathFinder):
    """Finds the modules that are to be changed as the other finders do, and changes each when its code has run."""

    def __init__(self) -> None:
        self.changes: dict[str, Change] = {}

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        change = self.changes.get(fullname)
        spec = _found_by_others(fullname, path, target) if change is not None else None
        if change is not None and spec is not None and hasattr(spec.loader, "exec_module"):
            spec.loader = _Loader(spec.loader, change)
        return spec


def _found_by_others(fullname: str, path: Sequence[str] | None, target: ModuleType | None) -> ModuleSpec | None:
    """Ask the finders in their order: that of Python's path, and those of tools, as for editable installs."""
    others = [finder for finder in sys.meta_path if finder is not _finder and hasattr(finder, "find_spec")]
    specs = (finder.find_spec(fullname, path, target) for finder in others)
    return next((spec for spec in specs if spec is not None), None)


_finder = _Finder()


def when_imported(name: str, change: Change) -> None:
    """Call ``change`` with the module of this name: now if it has been imported, else at its first import."""
    _finder.changes[name] = change
    if _finder not in sys.meta_path:
        sys.meta_path.insert(0, _finder)
    if name in sys.modules:
        change(sys.modules[name])
