"""What must hold between jobs that wait for each other."""

from __future__ import annotations

from collections.abc import Iterator

from django_jobs.statuses import TERMINAL, UNSUCCESSFUL, RunAfter, Status
from lab.faults.tables import JobRow, Tables


def findings(tables: Tables, *, at_rest: bool) -> Iterator[str]:
    """Yield children that are not decided as their parents say; ``at_rest`` all of them should be."""
    for child, parents in tables.parents.items():
        if missing := [pk for pk in (child, *parents) if pk not in tables.jobs]:
            yield f"The link of job {child} to its parents names jobs that are gone: {missing}."
            continue
        yield from _of_child(tables.jobs[child], [tables.jobs[pk] for pk in parents], tables, at_rest=at_rest)
    for job in tables.jobs.values():
        if job.pk not in tables.parents:
            yield from _of_job_without_parents(job, tables, at_rest=at_rest)
    if at_rest:
        yield from (f"Nobody has followed up job {pk}." for pk in sorted(tables.tasks))


def _of_child(child: JobRow, parents: list[JobRow], tables: Tables, *, at_rest: bool) -> Iterator[str]:
    is_strict = child.run_after == RunAfter.COMPLETED
    is_ready = child.status not in TERMINAL and not _is_blocked(child)
    if is_strict and (is_ready or child.status == Status.COMPLETED):
        for parent in parents:
            if parent.status != Status.COMPLETED:
                yield f"Job {child.pk} is {child.status}, and its parent {parent.pk} {parent.status}."
    if not at_rest and tables.tasks & {child.pk, *(parent.pk for parent in parents)}:
        return  # somebody will look at them yet
    dead = [parent for parent in parents if parent.status in UNSUCCESSFUL]
    if _is_blocked(child):
        yield from _of_blocked(child, parents, dead, is_strict=is_strict)
    if child.is_orphaned and not dead:
        yield f"Job {child.pk} died with a parent, and none of its parents is dead."
    for parent in parents:
        if not parent.has_children:
            yield f"Job {parent.pk} does not know that job {child.pk} waits for it."


def _of_blocked(child: JobRow, parents: list[JobRow], dead: list[JobRow], *, is_strict: bool) -> Iterator[str]:
    if is_strict and dead:
        yield f"Job {child.pk} still waits, and its parent {dead[0].pk} is {dead[0].status}."
    done = {Status.COMPLETED} if is_strict else TERMINAL
    if all(parent.status in done for parent in parents):
        yield f"Job {child.pk} waits for its parents, which have all ended."


def _of_job_without_parents(job: JobRow, tables: Tables, *, at_rest: bool) -> Iterator[str]:
    if not at_rest and job.pk in tables.tasks:
        return
    if _is_blocked(job):
        yield f"Job {job.pk} is Pending and never ready, and has no parents."
    if job.is_orphaned:
        yield f"Job {job.pk} is marked as dead with a parent, and has none."


def _is_blocked(job: JobRow) -> bool:
    return job.status == Status.PENDING and job.ready_at is None
