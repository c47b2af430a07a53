"""What a job's handler has stored of its work: its steps and its checkpoint."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Final

from django_jobs.admin.durations import brief_duration
from django_jobs.admin.formatting import as_json, line, moment
from django_jobs.engine.execution.steps import title_of
from django_jobs.engine.job_types.masking import Names, masked
from django_jobs.engine.store.counting import capped_count
from django_jobs.models import Job, JobCheckpoint, JobStep

#: Up to so many steps are unfolded.
FEW: Final = 10
ROWS: Final = 50
ALL_ROWS: Final = 500
#: Characters of a result that stand in its line; a longer one is folded.
SHORT: Final = 80


@dataclass(frozen=True, slots=True, kw_only=True)
class ShownStep:
    """One step that is done. ``folded`` is the result where it is too long for ``result``, which has its beginning."""

    position: int
    name: Any
    attempt: int
    moment: Any
    took: str
    result: Any
    folded: Any


@dataclass(frozen=True, slots=True, kw_only=True)
class SavedCheckpoint:
    """What the next attempt will find."""

    attempt: int
    moment: Any
    data: Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """The latest steps, the last one first, and the checkpoint.

    ``count`` is how many steps there are, ``is_counted_out`` if it is a bound.
    """

    steps: list[ShownStep]
    count: int
    is_counted_out: bool
    checkpoint: SavedCheckpoint | None

    @property
    def is_short(self) -> bool:
        """Return whether the steps take little room."""
        return self.count <= FEW

    @property
    def is_cut(self) -> bool:
        """Return whether there are more steps than are shown."""
        return self.count > len(self.steps)


def read_work(job: Job, names: Names, *, whole: bool, results: bool) -> Work:
    """Return what a job's handler has stored, read in two statements, and one more where the steps are many.

    What lies under the keys ``names`` is masked. Without ``results``, neither results nor checkpoint are told.
    """
    limit = ALL_ROWS if whole else ROWS
    rows = JobStep.primary.filter(job_id=job.pk)
    found = list((rows if results else rows.defer("result")).order_by("-position")[: limit + 1])
    count, is_counted_out = (len(found), False) if len(found) <= limit else capped_count(rows)
    saved = JobCheckpoint.primary.filter(pk=job.pk).first()
    return Work(
        steps=[_step(row, names, results) for row in found[:limit]],
        count=count,
        is_counted_out=is_counted_out,
        checkpoint=_checkpoint(saved, names, whole) if saved is not None and results else None,
    )


def _step(row: JobStep, names: Names, results: bool) -> ShownStep:
    text = json.dumps(masked(row.result, names), ensure_ascii=False) if results else ""
    return ShownStep(
        position=row.position,
        name=line(title_of(row.name, row.digest)),
        attempt=row.attempt,
        moment=moment(row.done_at),
        took=brief_duration(row.seconds),
        result=line(text, SHORT),
        folded=as_json(row.result, names) if len(text) > SHORT else "",
    )


def _checkpoint(saved: JobCheckpoint, names: Names, whole: bool) -> SavedCheckpoint:
    return SavedCheckpoint(
        attempt=saved.attempt, moment=moment(saved.saved_at), data=as_json(saved.data, names, whole=whole)
    )
