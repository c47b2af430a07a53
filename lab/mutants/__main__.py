"""``python -m lab.mutants``: which mistakes the tests notice, beside the last list of that."""

from __future__ import annotations

import argparse
import importlib.util
import os
import resource
import signal
import sys
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from lab.mutants import catalogue, sessions
from lab.mutants.catalogue import DATABASES, Mutant

LAST: Final = Path(__file__).with_name("LAST")
POSTGRESQL: Final = "postgres://postgres@127.0.0.1:5432/django_jobs_mutants"
MARIADB: Final = "mysql://root@127.0.0.1:3306/django_jobs_mutants"


@dataclass(frozen=True, slots=True)
class Line:
    """What the list says of a mutant. ``killer`` is the first one, if there is one that names no internal thing."""

    count: int
    is_public: bool = False
    killer: str = "-"

    def __str__(self) -> str:
        if not self.count:
            return "lives"
        return f"killed {self.count} {'public' if self.is_public else 'internal'} {self.killer}"


def read_last() -> dict[str, Line]:
    """Return what the list says."""
    found: dict[str, Line] = {}
    for line in LAST.read_text().splitlines() if LAST.exists() else ():
        name, state, *rest = line.split(" ", 4)
        found[name] = Line(int(rest[0]), rest[1] == "public", rest[2]) if state == "killed" else Line(0)
    return found


class Run:
    """What this run finds, mutant by mutant."""

    def __init__(self, before: dict[str, Line]) -> None:
        self._before = before
        self.found: dict[str, Line] = {}
        self.errors: dict[str, str] = {}
        self._cpu: float = 0

    def note(self, result: dict[str, Any]) -> None:
        """Note what came of a mutant, and print it."""
        name = result["id"]
        if "error" in result:
            self.errors[name] = result["error"]
            print(f"{name:6} ERROR {result['error']}", flush=True)
            return
        killers, public = result["killers"], result["public"]
        line = Line(len(killers), bool(public), (public or killers)[0]) if killers else Line(0)
        self.found[name] = line
        self._cpu += result.get("cpu", 0)
        print(f"{name:6} {line} ({self._beside(name)}; {result['ran']} tests, {result.get('cpu', 0)} s)", flush=True)

    def _beside(self, name: str) -> str:
        if name not in self._before:
            return "new"
        was, now = bool(self._before[name].count), bool(self.found[name].count)
        return "as before" if was == now else "WAS KILLED BEFORE" if was else "lived before"

    def has_lost(self, name: str) -> bool:
        """Return whether a mutant lives that was killed before."""
        return name in self._before and self._before[name].count > 0 and not self.found[name].count

    def summary(self, mutants: dict[str, Mutant]) -> list[str]:
        """Return what to print in the end, by area and in all."""
        lines = ["", f"{'area':16} mutants killed public lives"]
        for area in sorted({mutants[name].area for name in self.found}):
            own = [line for name, line in self.found.items() if mutants[name].area == area]
            killed = [line for line in own if line.count]
            public = sum(line.is_public for line in killed)
            lines.append(f"{area:16} {len(own):7} {len(killed):6} {public:6} {len(own) - len(killed):5}")
        killed = [line for line in self.found.values() if line.count]
        living = [name for name, line in self.found.items() if not line.count]
        lines += ["", *(f"lives: {name} ({self._beside(name)}): {mutants[name].note}" for name in living)]
        lines += [f"cannot be tried: {name}: {reason.splitlines()[0]}" for name, reason in self.errors.items()]
        kinds = Counter(mutants[name].kind for name, line in self.found.items() if line.count)
        lines += [f"killed of kind {kind!r}: {count}" for kind, count in sorted(kinds.items()) if kind]
        lines.append(
            f"{len(killed)} killed, of them {sum(line.is_public for line in killed)} have a killer that "
            f"names no internal thing; {len(living)} live; {self._cpu:.0f} s of CPU in the tests"
        )
        return lines


def main() -> int:
    """Run the mutants that the arguments name, and return 1 if one of them got worse."""
    options = _parser().parse_args()
    for ends in (signal.SIGTERM, signal.SIGINT):  # a shell lets what it runs in the background ignore SIGINT
        signal.signal(ends, signal.default_int_handler)
    mutants, before = catalogue.read(options.areas), read_last()
    if unknown := set(options.only) - mutants.keys():
        print(f"There is no mutant {', '.join(sorted(unknown))}.")
        return 1
    chosen = [mutant for mutant in mutants.values() if _is_chosen(mutant, options)]
    run, began = Run(before), time.monotonic()
    for mutant in chosen:
        if problem := mutant.problem():
            run.note({"id": mutant.id, "error": problem})
    fit = [mutant for mutant in chosen if mutant.id not in run.errors]
    if left_out := [] if importlib.util.find_spec("MySQLdb") else [item for item in fit if item.database == "mariadb"]:
        print(f"{len(left_out)} of MariaDB are left out: mysqlclient is not installed here.")
    fit = [mutant for mutant in fit if mutant not in left_out]
    urls = {"postgresql": options.postgresql, "mariadb": options.mariadb}
    given = [f"--mutants-areas={options.areas}", f"--mutants-enough={options.enough}"]
    try:
        sessions.run(fit, urls, options.jobs, run.note, options.tests, given)
    finally:  # also of a run that somebody ends
        if options.write:
            lines = {name: line for name, line in {**before, **run.found}.items() if name in mutants}
            LAST.write_text("".join(f"{name} {lines[name]}\n" for name in mutants if name in lines))
    print("\n".join(run.summary(mutants)))
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    print(f"{usage.ru_utime + usage.ru_stime:.0f} s of CPU in {time.monotonic() - began:.0f} s")
    passed = sum(line.count > 0 for line in run.found.values())
    failed = sum(map(run.has_lost, run.found)) + len(run.errors)
    print(f"{passed} passed, {failed} failed")
    return 1 if failed else 0


def _is_chosen(mutant: Mutant, options: argparse.Namespace) -> bool:
    return (
        (not options.area or mutant.area in options.area)
        and (not options.only or mutant.id in options.only)
        and (not options.database or mutant.database in options.database)
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m lab.mutants", description=__doc__)
    parser.add_argument("--areas", type=Path, default=catalogue.AREAS, metavar="DIR", help="the files that list them")
    parser.add_argument("--area", nargs="+", default=[], help="only those of these areas")
    parser.add_argument("--only", nargs="+", default=[], metavar="ID", help="only these")
    parser.add_argument("--database", nargs="+", default=[], choices=DATABASES, help="only those of these databases")
    parser.add_argument("--tests", nargs="+", default=[], metavar="PATH", help="run these, not those that they name")
    parser.add_argument("--enough", type=int, default=31, metavar="N", help="end with a mutant after so many killers")
    parser.add_argument("--write", action="store_true", help="write what was found into the list")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="how many sessions at once")
    parser.add_argument("--postgresql", default=POSTGRESQL, metavar="URL", help="its database's name gets a number")
    parser.add_argument("--mariadb", default=MARIADB, metavar="URL", help="its database's name gets a number")
    return parser


if __name__ == "__main__":
    sys.exit(main())
