"""Does commands to the engine and to the model, one after the other or two at once, and compares after each."""

from __future__ import annotations

import copy
import datetime as dt
import itertools
import time
from collections.abc import Iterator, Sequence
from functools import partial
from typing import NamedTuple

from django_jobs.exceptions import JobsError
from django_jobs.statuses import Status
from lab.faults import audit
from lab.faults.model.commands import Command, Dispatch, Seen
from lab.faults.model.comparison import TOLERANCE, adopt, differences, is_equal
from lab.faults.model.engine import Engine
from lab.faults.model.job import Refused
from lab.faults.model.table import Table
from tests.concurrency.crowd import run_crowd
from tests.support import verbs


class Doing(NamedTuple):
    """A command, and what it raised."""

    command: Command
    raised: list[str]


class Driver:
    """The engine beside its model."""

    def __init__(self) -> None:
        self.engine = Engine()
        self.table = Table()
        #: The rows after the last command.
        self.seen: Seen = {}
        self.now = verbs.now()
        self._until = time.monotonic() + TOLERANCE

    def is_late(self) -> bool:
        """Whether so much time has passed by itself that the model's clock is wrong: then nothing more happens."""
        return time.monotonic() > self._until

    def do(self, command: Command) -> None:
        """Do it, and see that the engine did what the model says."""
        if self.is_late():
            return
        raised = _raised_by(command, self.engine)
        if not self._has_looked():
            return
        trial = copy.deepcopy(self.table)
        expected = _apply(command, trial, self.seen)
        assert _is_as_expected(raised, expected), f"{command}: raised {raised}, should raise {expected}"
        if not expected:
            trial.follow_up()
            self.table = trial
        adopt(self.table, self.seen)
        assert not (found := differences(self.table, self.seen, self.now)), f"{command}: {found}"
        self._audit(command)
        waiting = {(ticket.pk, ticket.attempt) for ticket in self.engine.broker.tickets}
        queued = {(row.pk, row.attempt + 1) for row in self.seen.values() if row.status == Status.QUEUED}
        assert queued <= waiting, f"{command}: no tickets of {queued - waiting}"

    def do_both(self, one: Command, other: Command) -> None:
        """Do both at once; what comes of it must be what comes of them in some order.

        Who skips rows that somebody holds may have left out any of them: then each job is looked at by itself.
        """
        if self.is_late():
            return
        raised: list[list[str]] = [[], []]

        def go(place: int, command: Command) -> None:
            raised[place] = _raised_by(command, self.engine)

        run_crowd([partial(go, 0, one), partial(go, 1, other)], timeout=60)
        if not self._has_looked():
            return
        doings = [Doing(one, raised[0]), Doing(other, raised[1])]
        tried = []
        for trial in [*_in_order(doings, self.table, self.seen), *_mixed(doings, self.table, self.seen, self.now)]:
            adopt(trial, self.seen)
            found = differences(trial, self.seen, self.now)
            if not found:
                self.table = trial
                self._audit(one, other)
                return
            tried.append(str(found))
        # Told by the exception, since hypothesis may not see it happen again.
        what = f"No order of {doings[0]} and {doings[1]} does what both did."
        raise AssertionError("\n".join([what, *tried, *map(str, self.seen.values())]))

    def _has_looked(self) -> bool:
        """See what the last command did, unless it took so long that nothing can be said of it."""
        rows, self.now = self.engine.rows(), verbs.now()
        if self.is_late():
            return False
        self.seen = rows
        return True

    def _audit(self, *done: Command) -> None:
        assert not (found := audit.audit(at_rest=False, may_repeat=True)), f"{done}: {found}"


def _in_order(doings: Sequence[Doing], table: Table, seen: Seen) -> Iterator[Table]:
    """What comes of all of them, in each order that explains what was raised."""
    for order in _orders(doings):
        trial = copy.deepcopy(table)
        if all(_explains(doing, trial, seen, follows_up=True) for doing in order):
            yield trial


def _mixed(doings: Sequence[Doing], table: Table, seen: Seen, now: dt.datetime) -> Iterator[Table]:
    """For each job what comes of some order, in which those that skip rows may be missing."""
    skipping = [doing for doing in doings if doing.command.skips]
    candidates = []
    for count in range(len(skipping) + 1):
        for left_out in itertools.combinations(skipping, count):
            for order in _orders([doing for doing in doings if doing not in left_out]):
                trial = copy.deepcopy(table)
                if all(_explains(doing, trial, seen, follows_up=False) for doing in order):
                    candidates.append(trial)
    if skipping and candidates:
        mixed = candidates[0]
        for pk, row in seen.items():
            fitting = (trial.jobs[pk] for trial in candidates if pk in trial.jobs and is_equal(trial, pk, row, now))
            if (job := next(fitting, None)) is not None:
                mixed.jobs[pk] = copy.deepcopy(job)
        mixed.follow_up()
        yield mixed


def _orders(doings: Sequence[Doing]) -> Iterator[Sequence[Doing]]:
    """All orders; whoever submits, retries or releases a child may dispatch in between."""
    for order in itertools.permutations(doings):
        yield order
        yield [*order[:1], Doing(Dispatch(), []), *order[1:]]


def _explains(doing: Doing, table: Table, seen: Seen, *, follows_up: bool) -> bool:
    """Do it to the model; whether it raises what was raised."""
    trial = copy.deepcopy(table)
    expected = _apply(doing.command, trial, seen)
    if not expected:
        if follows_up:
            trial.follow_up()
        table.become(trial)
    return _is_as_expected(doing.raised, expected)


def _is_as_expected(raised: Sequence[str], expected: str) -> bool:
    return expected in raised if expected else not raised


def _apply(command: Command, table: Table, seen: Seen) -> str:
    """The exception that the command must raise; empty for none."""
    try:
        command.model(table, seen)
    except Refused as refused:
        return refused.name
    return ""


def _raised_by(command: Command, engine: Engine) -> list[str]:
    """The names of the exception that the engine raised, its bases included; empty for none."""
    try:
        command.engine(engine)
    except JobsError as error:
        return [kind.__name__ for kind in type(error).__mro__]
    return []
