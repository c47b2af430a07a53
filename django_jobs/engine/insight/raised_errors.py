"""The exceptions that jobs failed with, as the tracebacks in their Execution Logs tell them. They may hold secrets."""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass
from typing import Final

from django.db.models import Max
from django.db.models.functions import Right

from django_jobs.engine.transitions.error_fingerprints import exception_in
from django_jobs.models import ExecutionLog, Job

#: Characters at the end of a traceback that are read of each of many jobs.
TAIL: Final = 4_000
#: The last parts of a path that tell people which file it is.
_SHOWN_PARTS: Final = 3
_FRAME: Final = re.compile(
    r'^\s*File "(?P<path>[^"\n]+)", line (?P<line>\d+), in (?P<function>[^\n]+)\n?', re.MULTILINE
)


@dataclass(frozen=True, slots=True, kw_only=True)
class RaisedError:
    """An exception: its class, its text, and the frame that raised it, with its line of source.

    Each is empty where the traceback does not tell.
    """

    error_class: str = ""
    text: str = ""
    path: str = ""
    line: int = 0
    function: str = ""
    source: str = ""

    @property
    def file(self) -> str:
        """Return the end of the path, which tells people which file it is."""
        return "/".join(self.path.replace("\\", "/").split("/")[-_SHOWN_PARTS:])

    @property
    def place(self) -> str:
        """Return the frame as Python writes it; empty where it is not known."""
        return f'File "{self.path}", line {self.line}, in {self.function}' if self.path else ""

    @property
    def error(self) -> str:
        """Return the exception as Python writes it; empty where it is not known."""
        return ": ".join(part for part in (self.error_class, self.text) if part)


def raised_error(traceback: str) -> RaisedError:
    """Return what a traceback, or the last part of one, tells of its last exception."""
    exception, frames = exception_in(traceback), list(_FRAME.finditer(traceback))
    if not frames:
        return RaisedError()
    last = frames[-1]
    source = traceback[last.end() :].partition("\n")[0]
    name, text = _split(exception)
    return RaisedError(
        error_class=name,
        text=text,
        path=last["path"],
        line=int(last["line"]),
        function=last["function"],
        source=source.strip() if source[:1].isspace() else "",
    )


def _split(exception: str) -> tuple[str, str]:
    """Return the class and the text of an exception as Python writes it; blank ones for what is none."""
    name, _, text = exception.partition(": ")
    if "\n" in name:
        name, text = exception.split("\n", 1)
    # A class that a function makes has that in its path.
    return (name, text) if name.replace("<locals>.", "").replace(".", "").isidentifier() else ("", "")


def read_raised_errors(job_pks: Collection[int]) -> dict[int, RaisedError]:
    """Return the last exception of each of these jobs that has one, by primary key, in two statements."""
    # The newest entry may have no traceback: when retries were exhausted, an entry before it has one.
    rows = ExecutionLog.primary.filter(job_id__in=job_pks).exclude(traceback="").order_by()
    last = list(rows.values("job_id").annotate(last=Max("pk")).values_list("last", flat=True))
    tails = ExecutionLog.primary.filter(pk__in=last).annotate(tail=Right("traceback", TAIL)).order_by()
    found = {job_pk: raised_error(tail) for job_pk, tail in tails.values_list("job_id", "tail")}
    return {job_pk: error for job_pk, error in found.items() if error.error_class}


def last_traceback(job: Job) -> str:
    """Return the whole traceback of the newest error in the job's Execution Log; empty if none."""
    rows = ExecutionLog.primary.filter(job_id=job.pk).exclude(traceback="").order_by("-pk")
    return rows.values_list("traceback", flat=True).first() or ""
