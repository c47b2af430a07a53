"""Packages that a host has not installed, though the tests' environment has them."""

from __future__ import annotations

import importlib.abc
import sys
from typing import Any


class _Hides(importlib.abc.MetaPathFinder):
    def __init__(self, names: frozenset[str]) -> None:
        self._names = names

    def find_spec(self, fullname: str, path: Any, target: Any = None) -> None:
        if fullname.partition(".")[0] in self._names:
            raise ModuleNotFoundError(f"No module named {fullname!r}", name=fullname)


def hide(*names: str) -> None:
    """Let these top-level packages be missing in this process."""
    sys.meta_path.insert(0, _Hides(frozenset(names)))
