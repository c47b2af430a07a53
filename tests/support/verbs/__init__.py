"""What tests say to the package beside its public interface: verbs as ``verbs.dispatch()``, values by their name.

Each name is one line in ``engine``, ``stores``, ``edges`` or ``facts``, in the order of the work. Whoever moves or
renames a function changes that line, and no test. These modules are read and not run: a name loads its home when a test
asks for it.
"""

from __future__ import annotations

import ast
import sys
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Final

import pytest

import django_jobs

if TYPE_CHECKING:
    import datetime as dt

    from tests.support.verbs.edges import *
    from tests.support.verbs.engine import *
    from tests.support.verbs.facts import *
    from tests.support.verbs.stores import *


def imports_in(path: Path) -> dict[str, tuple[str, str]]:
    """The names that a module imports from the package: the module where each is, and its name there."""
    found = (node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.ImportFrom))
    return {
        alias.asname or alias.name: (node.module, alias.name)
        for node in found
        for alias in node.names
        if node.module and node.module.startswith("django_jobs")
    }


HOMES: Final = {
    name: home
    for part in ("engine", "stores", "edges", "facts")
    for name, home in imports_in(Path(__file__).with_name(f"{part}.py")).items()
}


def find(name: str) -> Any:
    """What has this name here, or else in ``django_jobs``, as it is at this moment."""
    if name not in HOMES:
        return getattr(django_jobs, name)
    module, own_name = HOMES[name]
    try:
        return getattr(import_module(module), own_name)
    except AttributeError:
        return import_module(f"{module}.{own_name}")


if not TYPE_CHECKING:  # a type checker knows each name, and no other

    def __getattr__(name: str) -> Any:
        if name not in HOMES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return find(name)


class Interpose:
    """Puts something into the place of a verb until the test ends: where it lives, and where it is imported by name."""

    #: What stands in whose place, and under which names modules import the real one.
    _interposed: ClassVar[list[tuple[Any, Any, set[str]]]] = []

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._monkeypatch = monkeypatch

    def __call__(self, verb: str, replacement: Any) -> None:
        real = find(verb)
        places = _places_of(real)
        self._interposed.append((replacement, real, {name for _, name in places}))
        for module, name in places:
            self._monkeypatch.setattr(module, name, replacement)

    @classmethod
    def take_back(cls) -> None:
        """Give the real ones to modules that were loaded meanwhile, such as a command's."""
        while cls._interposed:
            replacement, real, names = cls._interposed.pop()
            for module, name in _places_of(replacement):
                if name in names:
                    setattr(module, name, real)


def _places_of(value: Any) -> list[tuple[Any, str]]:
    modules = [module for name, module in sys.modules.items() if name.startswith("django_jobs")]
    return [(module, name) for module in modules for name, found in vars(module).items() if found is value]


def fire(now: dt.datetime | None = None, rests_until: dict[int, float] | None = None) -> list[Any]:
    """Fire all that is due, round after round as the scheduler does, and return the firings."""
    fired: list[Any] = []
    while found := find("fire_round")(now, rests_until):
        fired += found
    return fired
