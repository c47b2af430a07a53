"""Compares the handlers' own record with the rows: what ran, in which attempt, and whether two runs overlapped."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

from django_jobs.statuses import Status
from lab.faults.tables import Tables
from tests.support import record as records
from tests.support.record import RETURNED, Event
from tests.support.verbs import LEASE_OVER

#: Handlers that write down what they do.
RECORDING: Final = "tests.support.recorded_handlers."
#: The end of an attempt after which it may still run: nobody could tell it.
LEASE_LOST: Final = LEASE_OVER


def findings(tables: Tables, path: Path) -> Iterator[str]:
    """Yield runs that nobody claimed, runs beside each other, and jobs that completed without a run."""
    events = records.read(path)
    yield from _unknown(tables, events)
    yield from _overlapping(tables, events)
    returned = {(event.pk, event.attempt) for event in events if event.what == "end" and event.how == RETURNED}
    for pk, job in tables.jobs.items():
        kind = tables.types.get(job.job_type_id)
        is_recorded = kind is not None and kind.handler_method.startswith(RECORDING)
        if is_recorded and job.status == Status.COMPLETED and (pk, job.attempt) not in returned:
            yield f"Job {pk} is Completed, and the handler of attempt {job.attempt} never returned."


def _unknown(tables: Tables, events: list[Event]) -> Iterator[str]:
    begun: set[tuple[int, int]] = set()
    for event in events:
        if event.what != "begin":
            continue
        if (event.pk, event.attempt) in begun:
            yield f"Attempt {event.attempt} of job {event.pk} ran twice."
        begun.add((event.pk, event.attempt))
    claimed = {
        (pk, change.attempt)
        for pk, history in tables.histories.items()
        for change in history
        if change.to_status == Status.RUNNING
    }
    for pk, attempt in sorted(begun - claimed):
        if pk in tables.jobs:
            yield f"Attempt {attempt} of job {pk} ran, and nobody claimed it."


def _overlapping(tables: Tables, events: list[Event]) -> Iterator[str]:
    """Yield attempts that gave a sign of life after a later one had begun, though their leases were not lost."""
    excused = {
        (pk, change.attempt)
        for pk, history in tables.histories.items()
        for change in history
        if change.from_status == Status.RUNNING and LEASE_LOST in change.message
    }
    latest: dict[int, Event] = {}
    told: set[tuple[int, int]] = set()
    for event in events:
        newer = latest.get(event.pk)
        is_late = newer is not None and newer.run != event.run and event.what != "begin"
        if is_late and newer is not None and (event.pk, event.attempt) not in excused | told:
            told.add((event.pk, event.attempt))
            yield f"Attempts {event.attempt} and {newer.attempt} of job {event.pk} ran at once."
        if event.what == "begin":
            latest[event.pk] = event
