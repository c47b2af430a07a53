"""What this process counts of jobs, where somebody asked for it: numbers that only grow, by job type.

What happened to jobs is told by their history, which one scheduler sums up. The ends of children alone are in no row.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from django_jobs.conf import jobs_settings
from django_jobs.engine.store.organization_ids import recent_ids
from django_jobs.statuses import Status

if TYPE_CHECKING:
    from django_jobs.engine.store.values import Tally, TallyKey

#: What is counted. Of ATTEMPTS the detail is how they ended, of ENDED how jobs did; of histograms it is a class.
ATTEMPTS: Final = "attempts"
RUNS: Final = "runs"
RUN_SECONDS: Final = "run_seconds"
SUBMITTED: Final = "submitted"
ENDED: Final = "ended"
WAITS: Final = "waits"
WAIT_SECONDS: Final = "wait_seconds"
EXITS: Final = "exits"

#: Job types that are counted by name. Those that come later are counted together, as OTHER.
MAX_TYPES: Final = 200
#: Pairs of a job type and an organization. Of later ones the organization is OTHER.
MAX_PAIRS: Final = 2_000
OTHER: Final = "other"

#: The outcome of an attempt, by the status that its job goes to. "returned" costs no retry: the job runs again.
OUTCOMES: Final[Mapping[str, str]] = {
    Status.COMPLETED: "completed",
    Status.FAILED: "failed",
    Status.TIMED_OUT: "timed_out",
    Status.DEAD_LETTER: "dead_letter",
    Status.CANCELED: "canceled",
    Status.QUEUED: "returned",
    Status.PENDING: "returned",
}


#: How jobs end.
ENDS: Final = ("completed", "dead_letter", "canceled")
#: How children end: of themselves, as after their last job, or not.
CLEAN: Final = "clean"
UNEXPECTED: Final = "unexpected"
WAYS_TO_EXIT: Final = (CLEAN, UNEXPECTED)


class Key(NamedTuple):
    """Which number it is; what does not apply is empty."""

    name: str
    job_type: str = ""
    organization: str = ""
    detail: str = ""


class ProcessCounts:
    """Numbers that several threads add to. With ``organizations``, so many of them are counted by name."""

    def __init__(self, *, organizations: int = 0) -> None:
        self.organizations = organizations
        self._lock = threading.Lock()
        self._numbers: dict[Key, float] = {}
        self._known: dict[str, set[object]] = {"type": set(), "organization": set(), "pair": set()}

    def add(self, numbers: Iterable[tuple[Key, float]]) -> None:
        """Add to the numbers."""
        with self._lock:
            for key, number in numbers:
                bounded = self._bounded(key)
                self._numbers[bounded] = self._numbers.get(bounded, 0) + number

    def read(self) -> dict[Key, float]:
        """Return the numbers as they are."""
        with self._lock:
            return dict(self._numbers)

    def _bounded(self, key: Key) -> Key:
        job_type = self._name_of("type", key.job_type, MAX_TYPES)
        organization = self._name_of("organization", key.organization, self.organizations) if self.organizations else ""
        if organization:
            pair = (job_type, organization)
            organization = organization if self._knows("pair", pair, MAX_PAIRS) else OTHER
        return key._replace(job_type=job_type, organization=organization)

    def _name_of(self, kind: str, name: str, most: int) -> str:
        return name if not name or self._knows(kind, name, most) else OTHER

    def _knows(self, kind: str, item: object, most: int) -> bool:
        names = self._known[kind]
        if item not in names and len(names) < most:
            names.add(item)
        return item in names


_counting: list[ProcessCounts] = []


def start(counts: ProcessCounts) -> None:
    """Count into these from now on."""
    _counting[:] = [counts]


def stop() -> None:
    """Count no more."""
    _counting.clear()


def count_exit(*, is_clean: bool) -> None:
    """Count a child that ended."""
    for counts in _counting:
        counts.add([(Key(EXITS, detail=CLEAN if is_clean else UNEXPECTED), 1)])


def count_history(tallies: Mapping[TallyKey, Tally]) -> None:
    """Count what the history of jobs tells; each entry of it is told to one scheduler, once."""
    if not _counting:
        return
    organizations = _shown_ids({place.organization: tally.organization_name for place, tally in tallies.items()})
    for counts in _counting:
        for place, tally in tallies.items():
            counts.add(_of_tally(place.job_type, organizations[place.organization], tally))


def _shown_ids(remembered: Mapping[Any, str]) -> Mapping[Any, str]:
    """Return the ids that these tenants have now, by key, where they are told; else those of their jobs' submission.

    The name of one that was renamed may be another's by now.
    """
    return recent_ids(remembered) if jobs_settings.METRICS_ORGANIZATIONS else remembered


def _of_tally(job_type: str, organization: str, tally: Tally) -> Iterable[tuple[Key, float]]:
    yield Key(SUBMITTED, job_type, organization), tally.submitted
    for detail, number in zip(ENDS, (tally.completed, tally.died, tally.canceled), strict=True):
        if number:
            yield Key(ENDED, job_type, organization, detail), number
    for status, number in tally.attempts.items():
        yield Key(ATTEMPTS, job_type, organization, OUTCOMES[status]), number
    for classes, sums, histogram, seconds in (
        (WAITS, WAIT_SECONDS, tally.wait_histogram, tally.wait_seconds),
        (RUNS, RUN_SECONDS, tally.attempt_histogram, tally.attempt_seconds),
    ):
        for detail, number in histogram.items():
            yield Key(classes, job_type, detail=detail), number
        if histogram:
            yield Key(sums, job_type), seconds
