"""A pytest plugin: in one session, for each mutant, exchanges the code, runs the tests, and changes it back.

What comes of each is written to a file, one line of JSON each, as soon as it is known.
"""

from __future__ import annotations

import json
import signal
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import copy_context
from pathlib import Path
from typing import Any, Final

import pytest
from _pytest.runner import runtestprotocol

from lab.mutants import catalogue
from lab.mutants.catalogue import Mutant
from lab.mutants.exchange import CannotBeExchanged, exchanged
from lab.mutants.public import names_no_internals

#: A test that takes longer hangs, and has noticed the mutant.
TEST_SECONDS: Final = 90
#: A mutant that has a killer is run for no longer: tests that wait in vain take their time.
MUTANT_SECONDS: Final = 120
#: If more tests fail without the mutant too, the session is broken. An earlier mutant may have done it.
FAILING: Final = 3
#: The package uses none of these.
SIGNAL: Final = signal.SIGRTMAX


class TooLong(BaseException):
    """A test hangs. No test catches this."""


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--mutants", default="", help="Try these mutants, with commas between their ids.")
    parser.addoption("--mutants-areas", default=str(catalogue.AREAS), help="The directory that lists them.")
    parser.addoption("--mutants-enough", type=int, default=31, help="End with a mutant after so many killers.")
    parser.addoption("--mutants-tests", default="", help="Run these files, with commas, not those that they name.")
    parser.addoption("--mutants-results", default="", help="Write there what came of each.")


@pytest.hookimpl(tryfirst=True)
def pytest_runtestloop(session: pytest.Session) -> bool:
    replay = Replay(session, session.config.getoption("--mutants-enough"))
    session.config.pluginmanager.register(replay)
    mutants = catalogue.read(Path(session.config.getoption("--mutants-areas")))
    given = session.config.getoption("--mutants-tests")
    tests = given.split(",") if given else ()
    with Path(session.config.getoption("--mutants-results")).open("a", buffering=1) as results:
        for number, name in enumerate(session.config.getoption("--mutants").split(",")):
            results.write(json.dumps({"id": name, "began": True}) + "\n")
            result = replay.of(mutants[name], tests)
            if result.get("failing", 0) > FAILING and not result["killers"]:
                if number:
                    results.write(json.dumps({"id": name, "began": False}) + "\n")
                    break
                result = {"error": f"{result['failing']} tests fail without it too"}
            results.write(json.dumps({"id": name, **result}) + "\n")
    session._setupstate.teardown_exact(None)
    return True


class Replay:
    """Runs tests of a session again and again."""

    def __init__(self, session: pytest.Session, enough: int) -> None:
        self._session, self._enough = session, enough
        self._has_failed_subtest = False

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Hear of failed subtests, which their test does not tell."""
        if isinstance(report, pytest.SubtestReport) and report.failed:
            self._has_failed_subtest = True

    def of(self, mutant: Mutant, tests: Sequence[str]) -> dict[str, Any]:
        """Return what comes of a mutant: an error, or its killers and how long that took."""
        items = [item for item in self._session.items if _is_in(item, tests or mutant.first)]
        began, cpu, done = time.monotonic(), _cpu_seconds(), set[str]()
        killers, public, ran, failing = list[pytest.Item](), list[pytest.Item](), 0, 0
        while ran < len(items) and not killers:  # what fails without the mutant as well does not end its run
            try:
                with exchanged(mutant):
                    outcomes = [*self._outcomes(items[ran:])]
            except CannotBeExchanged as error:
                return {"error": str(error)}
            found = [item for item, outcome in zip(items[ran:], outcomes, strict=False) if outcome == "failed"]
            killers = self._confirmed(found)
            failing += len(found) - len(killers)
            public = self._confirmed([item for item in killers if names_no_internals(item.nodeid)])
            ran += len(outcomes)
            done.update(outcomes)
        if not done - {"skipped"}:
            return {"error": f"on {mutant.database} no test of its files runs"}
        return {
            "killers": [item.nodeid for item in killers],
            "public": [item.nodeid for item in public],
            "ran": ran,
            "failing": failing,
            "wall": round(time.monotonic() - began, 1),
            "cpu": round(_cpu_seconds() - cpu, 1),
        }

    def _outcomes(self, items: Iterable[pytest.Item]) -> Iterator[str]:
        failed, until = 0, time.monotonic() + MUTANT_SECONDS
        for item in items:
            outcome = self._run(item)
            yield outcome
            failed += outcome == "failed"
            if failed >= self._enough or (failed and time.monotonic() > until):
                return

    def _confirmed(self, killers: list[pytest.Item]) -> list[pytest.Item]:
        """Return these from the first one on that passes without the mutant."""
        for number, item in enumerate(killers):
            if self._run(item) == "passed":
                return killers[number:]
        return []

    def _run(self, item: pytest.Item) -> str:
        self._has_failed_subtest = False
        with _bounded():
            # Of what tests share, the session's own stays; what a mutant leaves in a context goes with the test.
            reports = copy_context().run(runtestprotocol, item, log=False, nextitem=self._session)  # type: ignore[arg-type]
        if self._has_failed_subtest or any(report.failed for report in reports):
            return "failed"
        return "skipped" if any(report.skipped for report in reports) else "passed"


@contextmanager
def _bounded() -> Iterator[None]:
    """Let what hangs end by an exception in the main thread."""

    def end(*_: object) -> None:
        raise TooLong

    before = signal.signal(SIGNAL, end)
    watch = threading.Timer(TEST_SECONDS, signal.pthread_kill, (threading.get_ident(), SIGNAL))
    watch.daemon = True
    watch.start()
    try:
        yield
    finally:
        watch.cancel()
        signal.signal(SIGNAL, before)


def _is_in(item: pytest.Item, names: Iterable[str]) -> bool:
    path = item.path.relative_to(catalogue.ROOT)
    return any(path == Path(name) or Path(name) in path.parents for name in names)


def _cpu_seconds() -> float:
    import resource

    return sum(
        usage.ru_utime + usage.ru_stime
        for usage in map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    )
