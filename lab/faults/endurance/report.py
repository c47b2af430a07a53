"""What a long run prints: faults by kind, jobs by outcome, runs, waits, and the lives of jobs that went wrong."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from django_jobs.statuses import AWAITING_TURN, LogReason, Priority, Status
from lab.faults.endurance.judgment import Evidence, lost_leases
from lab.faults.endurance.mix import KINDS
from tests.support.record import Event

Lines = Iterator[str]
#: A job as findings name it, by its key or by its id.
_NAMED: Final = re.compile(r"\bjob[ -](?:\d{4}-0*)?(\d+)", re.IGNORECASE)
#: So many jobs are told about.
_TOLD: Final = 10


def lines(evidence: Evidence, faults: Mapping[str, int], found: Sequence[str]) -> Lines:
    """Yield the report, line by line, with what happened to the jobs that the findings name."""
    yield from _table("faults", {**faults, "all": sum(faults.values())})
    yield ""
    yield from _outcomes(evidence)
    yield ""
    yield from _table("runs", _runs(evidence))
    yield from _recovery(evidence)
    yield from _lives(evidence, found)


def _lives(evidence: Evidence, found: Sequence[str]) -> Lines:
    """Yield what happened to the first jobs that findings name: their logs, and what their handlers wrote down."""
    named = dict.fromkeys(int(number) for text in found for number in _NAMED.findall(text))
    for pk in [*named][:_TOLD]:
        yield f"\njob {pk}"
        for change in evidence.tables.histories.get(pk, ()):
            arrow = f"{change.from_status or 'new'} → {change.to_status}"
            yield f"  {change.timestamp:%H:%M:%S.%f}  {change.attempt}  {arrow}  {change.worker_name}  {change.message}"
        for event in evidence.events:
            if event.pk == pk and event.what != "alive":
                yield f"  {event.at:.3f}  {event.attempt}  {event.what} {event.how} in process {event.pid}"


def _table(title: str, counts: Mapping[str, int]) -> Lines:
    yield title
    yield from (f"  {name:<34}{count:>7}" for name, count in counts.items())


def _outcomes(evidence: Evidence) -> Lines:
    counts = Counter((job.job_type_id, job.status) for job in evidence.tables.jobs.values())
    statuses = [status for status in Status if any(counts[kind, status] for kind in KINDS)]
    yield f"{'jobs':<20}" + "".join(f"{status:>14}" for status in statuses)
    for kind in KINDS:
        yield f"  {kind:<18}" + "".join(f"{counts[kind, status]:>14}" for status in statuses)
    yield f"  {'all':<18}" + "".join(f"{sum(counts[kind, status] for kind in KINDS):>14}" for status in statuses)


def _runs(evidence: Evidence) -> Mapping[str, int]:
    lost = set(lost_leases(evidence.tables))
    ends = Counter(
        change.message.split(":")[0]
        for history in evidence.tables.histories.values()
        for change in history
        if change.from_status == Status.RUNNING
        and (change.reason == LogReason.WORKER_LOST or change.to_status in AWAITING_TURN)
    )
    return {
        "handlers begun": sum(event.what == "begin" for event in evidence.events),
        "leases lost": len(lost),
        "overlaps after lost leases": len(_overlapping(evidence.events) & lost),
        **{text.lower(): count for text, count in sorted(ends.items())},
    }


def _overlapping(events: Sequence[Event]) -> set[tuple[int, int]]:
    """The attempts that gave a sign of life after a later one of the same job had begun."""
    newest: dict[int, int] = {}
    found: set[tuple[int, int]] = set()
    for event in events:
        if event.what == "begin":
            newest[event.pk] = max(event.attempt, newest.get(event.pk, 0))
        elif event.attempt < newest.get(event.pk, 0):
            found.add((event.pk, event.attempt))
    return found


def _recovery(evidence: Evidence) -> Lines:
    """Yield the longest time from an attempt's last sign to the next one's begin, after a first loss of its worker.

    Of Critical jobs: the others wait for their turn behind these, too.
    """
    waits = sorted(_waits(evidence), reverse=True)
    if waits:
        middle = waits[len(waits) // 2][0]
        seconds, pk, message = waits[0]
        yield f"  {'Critical jobs that were lost once':<34}{len(waits):>7} times, median {middle:.1f} s"
        yield f"  {'longest':<34}{seconds:>7.1f} s, job {pk}: {message}"


def _waits(evidence: Evidence) -> Iterator[tuple[float, int, str]]:
    begun = {(event.pk, event.attempt): event.at for event in evidence.events if event.what == "begin"}
    signs: dict[tuple[int, int], float] = {}
    for event in evidence.events:
        later = begun.get((event.pk, event.attempt + 1))
        if later is None or event.at <= later:
            signs[event.pk, event.attempt] = event.at
    for pk, history in evidence.tables.histories.items():
        first = next((change for change in history if change.reason == LogReason.WORKER_LOST), None)
        is_urgent = evidence.tables.jobs[pk].priority == Priority.CRITICAL
        if is_urgent and first is not None and (pk, first.attempt) in signs and (pk, first.attempt + 1) in begun:
            yield begun[pk, first.attempt + 1] - signs[pk, first.attempt], pk, first.message
