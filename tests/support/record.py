"""What handlers write down themselves, in a file outside the database: when each attempt began and how it ended.

A line is one ``write`` to a file that was opened with ``O_APPEND``. So the lines of several processes do not mix, and
they stand in the order in which they were written: whether two runs overlapped can be read without a clock.
A line is ``begin|alive|step|end JOB ATTEMPT PID TIME [HOW]``, with the job's primary key and the machine's monotonic
time.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from tests.support import verbs

if TYPE_CHECKING:
    from django_jobs import JobContext
    from tests.support.verbs import Claimed

#: The environment variable that names the file; worker processes inherit it. Without it, nothing is written.
VARIABLE: Final = "DJANGO_JOBS_FAULTS_RECORD"
RETURNED: Final = "returned"


class Event(NamedTuple):
    """One line of the record."""

    what: str
    pk: int
    attempt: int
    pid: int
    at: float
    how: str = ""

    @property
    def run(self) -> tuple[int, int, int]:
        return self.pk, self.attempt, self.pid


def note(what: str, context: JobContext | Claimed, how: str = "") -> None:
    """Append a line about the attempt that runs here."""
    path = os.environ.get(VARIABLE)
    parsed = verbs.parse_job_id(context.job_id)
    if not path or parsed is None:
        return
    line = f"{what} {parsed[0]} {context.attempt} {os.getpid()} {time.monotonic():.6f} {how}".rstrip() + "\n"
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    try:
        os.write(descriptor, line.encode())
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def recorded(context: JobContext) -> Iterator[None]:
    """Write down the begin and the end of what happens in the block."""
    note("begin", context)
    try:
        yield
    except BaseException as error:
        note("end", context, type(error).__name__)
        raise
    note("end", context, RETURNED)


def read(path: Path) -> list[Event]:
    """Return the lines of a record in order. A last line that was cut short by a kill is left out."""
    if not path.exists():
        return []
    found = []
    for line in path.read_text().splitlines():
        words = line.split()
        if len(words) in {5, 6}:
            what, pk, attempt, pid, at = words[:5]
            found.append(Event(what, int(pk), int(attempt), int(pid), float(at), *words[5:]))
    return found
