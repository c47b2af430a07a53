"""Runs mutants in sessions of pytest: some side by side, each on one database with a name of its own."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final

from lab.mutants.catalogue import DATABASES, ROOT, Mutant

#: A session takes some seconds before its first test.
WORTH_A_SESSION: Final = 10
LAST_LINES: Final = 30
PAUSE_SECONDS: Final = 0.2
#: What a session has of its own.
OWN: Final = frozenset({"DATABASE_URL", "REDIS_URL", "PYTEST_ADDOPTS"})
Tell = Callable[[dict[str, Any]], None]


def run(
    mutants: Sequence[Mutant],
    urls: Mapping[str, str],
    jobs: int,
    tell: Tell,
    tests: Sequence[str] = (),
    options: Sequence[str] = (),
) -> None:
    """Run these mutants, so many sessions at once, and tell what came of each as soon as it is known.

    ``tests`` are run in the place of those that the mutants name, if they are given. ``options`` are for the plugin.
    """
    parts: list[tuple[str, list[Mutant]]] = []
    for database in reversed(DATABASES):
        own = [mutant for mutant in mutants if mutant.database == database]
        count, url = min(jobs, -(-len(own) // WORTH_A_SESSION)), urls.get(database)
        parts += [(f"{url}_{number}" if url else "", own[number::count]) for number in range(count)]
    is_over = threading.Event()
    with ThreadPoolExecutor(jobs) as pool, tempfile.TemporaryDirectory(prefix="mutants-") as directory:
        try:
            tasks = [
                pool.submit(Sessions(part, url, Path(directory) / str(number), tell, tests, options, is_over).run)
                for number, (url, part) in enumerate(parts)
            ]
            for task in tasks:
                task.result()
        finally:
            is_over.set()


class Sessions:
    """One session of pytest after the other, until all of its mutants are run: some of them end a session."""

    def __init__(
        self,
        mutants: Sequence[Mutant],
        url: str,
        directory: Path,
        tell: Tell,
        tests: Sequence[str],
        options: Sequence[str],
        is_over: threading.Event,
    ) -> None:
        self._left = {mutant.id: mutant for mutant in mutants}
        self._tell, self._tests, self._options, self._is_over = tell, tests, options, is_over
        self._results, self._log = directory.with_suffix(".jsonl"), directory.with_suffix(".log")
        self._environ = {name: text for name, text in os.environ.items() if name not in OWN}
        if url:
            self._environ["DATABASE_URL"] = url
        self._begun = ""

    def run(self) -> None:
        """Run all mutants that are left."""
        while self._left and not self._is_over.is_set():
            count, code = len(self._left), self._run_one()
            if self._is_over.is_set():
                return
            if self._begun in self._left:
                self._take(self._begun, {"killers": [f"(the session ended with {code})"], "public": [], "ran": 0})
            elif len(self._left) == count:
                self._give_up(code)

    def _run_one(self) -> int:
        """Run a session to its end and return its exit code."""
        self._begun = ""
        self._results.write_text("")
        with self._log.open("wb") as output, self._results.open() as lines:
            process = subprocess.Popen(
                self._command(),
                cwd=ROOT,
                env=self._environ,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
            line = ""
            while (has_ended := process.poll() is not None) or not self._is_over.wait(PAUSE_SECONDS):
                while line := line + lines.readline():
                    if not line.endswith("\n"):
                        break
                    self._read(json.loads(line))
                    line = ""
                if has_ended:
                    break
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)  # with what it started: a test may have taken over gentler ones
            return process.wait()

    def _read(self, found: dict[str, Any]) -> None:
        name = found.pop("id")
        if (began := found.pop("began", None)) is not None:
            self._begun = name if began else ""
        else:
            self._take(name, found)

    def _take(self, name: str, found: Mapping[str, Any]) -> None:
        del self._left[name]
        self._tell({"id": name, **found})

    def _give_up(self, code: int) -> None:
        """Say of all that are left that their session ended before its first mutant, and why."""
        text = "\n".join(self._log.read_text(errors="replace").splitlines()[-LAST_LINES:])
        for name in [*self._left]:
            self._take(name, {"error": f"its session ended with {code} before its first mutant\n{text}".rstrip()})
            text = ""

    def _command(self) -> list[str]:
        files = self._tests or sorted({name for mutant in self._left.values() for name in mutant.first})
        return [
            *(sys.executable, "-m", "pytest", "-q", "-p", "lab.mutants.replay", "-p", "no:randomly"),
            *("-p", "no:cacheprovider"),
            *(["-n0"] if importlib.util.find_spec("xdist") else []),
            *self._options,
            f"--mutants={','.join(self._left)}",
            f"--mutants-tests={','.join(self._tests)}",
            f"--mutants-results={self._results}",
            *files,
        ]
