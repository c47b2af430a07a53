"""What large families cost: how long the caller waits, the longest transaction, and the time until all is followed up.

``python -m lab.benchmarks.families [children] [levels]``
"""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any, Final

import django

from tests.support import verbs
from tests.support.deletions import delete_jobs

BATCH: Final = 10_000


def main(children: int, levels: int) -> None:
    from django_jobs import cancel_job, retry_job
    from django_jobs.models import Job

    say(f"{'':34}{'caller':>10}{'longest transaction':>22}{'all done':>12}")
    wide = f"{children:,} children"
    parent = family(children)
    measured(f"cancel, {wide}", lambda: cancel_job(parent))
    assert Job.objects.filter(status="Canceled").count() == children + 1
    parent = family(children)
    measured(f"complete, {wide}", lambda: end(parent, "returned"))
    assert Job.objects.filter(ready_at__isnull=False).count() == children
    parent = family(children)
    measured(f"die, {wide}", lambda: end(parent, "raised"))
    assert Job.objects.filter(is_orphaned=True).count() == children
    measured(f"retry by hand, {wide}", lambda: retry_job(parent))
    assert Job.objects.filter(status="Pending").count() == children + 1
    measured(f"die again, {wide}", lambda: end(parent, "raised"))
    measured(f"delete the parent, {wide}", lambda: delete_jobs([parent.pk], release_children=True))
    assert not Job.objects.filter(is_orphaned=True).exists()
    root = chain(levels)
    measured(f"cancel, {levels:,} levels", lambda: cancel_job(root))
    assert Job.objects.filter(status="Canceled").count() == levels


def say(text: str) -> None:
    print(text, flush=True)


def family(children: int) -> Any:
    """A parent for whose end so many children wait."""
    from django_jobs import submit_job, submit_jobs

    organization = begin()
    parent = submit_job("nothing", organization)
    item = {"job_type": "nothing", "organization": organization, "depends_on": [parent.name]}
    for start in range(0, children, BATCH):
        submit_jobs([item] * min(BATCH, children - start))
    follow_up_all()
    return parent


def chain(levels: int) -> Any:
    """The first of so many jobs, each of which waits for the one before it."""
    from django_jobs import submit_job, submit_jobs
    from django_jobs.models import DependencyTask, Job, JobDependency

    organization = begin()
    root = submit_job("nothing", organization)
    submit_jobs([{"job_type": "nothing", "organization": organization}] * (levels - 1))
    pks = list(Job.objects.order_by("pk").values_list("pk", flat=True))
    Job.objects.filter(pk__gt=root.pk).update(ready_at=None)
    Job.objects.filter(pk__lt=pks[-1]).update(has_children=True)
    pairs = zip(pks[1:], pks[:-1], strict=True)
    JobDependency.objects.bulk_create([JobDependency(child_id=child, parent_id=parent) for child, parent in pairs])
    DependencyTask.objects.all().delete()
    return root


def begin() -> Any:
    from django_jobs.models import DependencyTask, JobDependency
    from lab.benchmarks import setting
    from tests.support.brokers import MemoryBroker

    broker = MemoryBroker()
    broker.is_down = True
    verbs.use_broker(broker)
    JobDependency.objects.all().delete()
    DependencyTask.objects.all().delete()
    return setting.reset()[0]


def end(job: Any, how: str) -> None:
    """Let the job run, and end as Completed or as Dead Letter."""
    from tests.support import brokers

    ended = brokers.returned if how == "returned" else lambda claimed: brokers.raised(claimed, "Permanent")
    verbs.settle([ended(brokers.start(brokers.reread(job)))], brokers.WORKER)


def measured(name: str, act: Callable[[], object]) -> None:
    with transactions() as seconds:
        started = time.perf_counter()
        act()
        caller = time.perf_counter() - started
        follow_up_all()
        total = time.perf_counter() - started
    say(f"{name:34}{caller:>8.2f} s{max(seconds):>20.3f} s{total:>10.2f} s")


@contextlib.contextmanager
def transactions() -> Iterator[list[float]]:
    """How long each transaction of the engine's was open."""
    seconds: list[float] = []
    kind: Any = type(verbs.store())
    opened = kind.transaction

    @contextlib.contextmanager
    def timed(self: Any, silence: int) -> Iterator[None]:
        started = time.perf_counter()
        try:
            with opened(self, silence):
                yield
        finally:
            seconds.append(time.perf_counter() - started)

    kind.transaction = timed
    try:
        yield seconds
    finally:
        kind.transaction = opened


def follow_up_all() -> None:
    """As the scheduler does, until nothing is left."""
    from django_jobs.models import DependencyTask

    while DependencyTask.objects.exists():
        verbs.follow_up()


if __name__ == "__main__":
    django.setup()
    main(*[int(text) for text in sys.argv[1:]] or [50_000, 10_000])
