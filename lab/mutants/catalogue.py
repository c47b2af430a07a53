"""The mutants, as the files of ``areas`` list them: which text of which file becomes which other one."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[2]
AREAS: Final = Path(__file__).parent / "areas"
DATABASES: Final = ("sqlite", "postgresql", "mariadb")
#: What it is about the mistake that makes it easy to overlook, or what it does.
KINDS: Final = frozenset(
    {"", "two", "second look", "race", "clock"}
    | {"tenant", "right", "fence", "twice", "lost", "limit"}
    | {"order", "count", "option", "error", "time", "filter", "other"}
)


@dataclass(frozen=True, slots=True)
class Mutant:
    """A mistake in one place. ``note`` says what goes wrong; ``first`` names the tests that should notice."""

    id: str
    area: str
    note: str
    file: str
    old: str
    new: str
    first: tuple[str, ...]
    database: str = "sqlite"
    kind: str = ""

    @property
    def source(self) -> str:
        """The file as it is."""
        return (ROOT / self.file).read_text()

    @property
    def mutated(self) -> str:
        """The file with the mistake in it."""
        return self.source.replace(self.old, self.new)

    def problem(self) -> str:
        """Return why it cannot be tried; empty if it can."""
        if self.database not in DATABASES or self.kind not in KINDS:
            return f"{self.database!r} is no database, or {self.kind!r} no kind"
        if missing := [name for name in (self.file, *self.first) if not (ROOT / name).exists()]:
            return f"there is no {', '.join(missing)}"
        if (count := self.source.count(self.old)) != 1:
            return f"its text stands in {self.file} {count} times: whoever moves code moves its mutants"
        try:
            compile(self.mutated, self.file, "exec")
        except SyntaxError as error:
            return f"with it {self.file} is no Python: {error}"
        return ""


def read(areas: Path = AREAS) -> dict[str, Mutant]:
    """Return the mutants of these files by their id. A mutant that names no area is of its file's."""
    found: dict[str, Mutant] = {}
    for path in sorted(areas.glob("*.toml")):
        for name, values in tomllib.loads(path.read_text()).items():
            if name in found:
                raise ValueError(f"{name} of {path.name} is there already.")
            found[name] = Mutant(name, **{"area": path.stem, **values, "first": tuple(values["first"])})
    return found
