"""A process that submits, cancels and retries jobs, and keeps a journal of what it was promised.

It may be killed at any moment. What is in its journal was committed before.
"""

from __future__ import annotations

import json
import os
import random
import time
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

from django.db import Error, connections, transaction

from django_jobs import cancel_batch, cancel_job, create_batch, retry_batch, retry_job, submit_job, submit_jobs
from django_jobs.exceptions import DuplicateJob, InvalidTransition, JobsError
from django_jobs.models import Batch, Job
from django_jobs.statuses import UNFINISHED
from lab.faults.endurance import mix

#: Seconds between two calls, on average.
PAUSE: Final = 0.2
#: With more unfinished jobs than this, it waits.
MOST_UNFINISHED: Final = 150
#: Seconds for which a unique key keeps the same work out: longer than any run.
WINDOW: Final = 24 * 3600


class Promise(NamedTuple):
    """A line of the journal: a call returned.

    ``what`` is submitted, canceled or retried; ``key`` a unique key, and ``how`` what was to happen to the same work.
    """

    what: str
    pk: int
    key: str = ""
    how: str = ""


def journal(directory: Path) -> Iterator[Promise]:
    """What all submitters were promised."""
    for path in sorted(directory.glob("*.journal")):
        yield from promises_in(path)


def promises_in(path: Path) -> Iterator[Promise]:
    """What one submitter was promised; nothing as long as it has no journal."""
    for line in path.read_text().splitlines() if path.exists() else ():
        yield Promise(*json.loads(line))


def main(path: str, seed: int) -> None:
    """Work until killed."""
    Submitter(Path(path), random.Random(seed)).run()


class Submitter:
    def __init__(self, path: Path, rng: random.Random) -> None:
        self._rng = rng
        self._file = os.open(path, os.O_APPEND | os.O_CREAT | os.O_WRONLY, 0o644)
        self._recent: deque[Job] = deque(maxlen=30)
        self._batches: deque[Batch] = deque(maxlen=5)

    def run(self) -> None:
        calls: dict[Callable[[], None], int] = {
            self._submit_one: 50,
            self._submit_many: 16,
            self._submit_family: 10,
            self._submit_unique: 8,
            self._fill_batch: 10,
            self._change_batch: 4,
            self._cancel: 12,
            self._retry: 4,
        }
        while True:
            time.sleep(self._rng.uniform(0, 2 * PAUSE))
            call = self._rng.choices([*calls], [*calls.values()])[0]
            try:
                if Job.primary.filter(status__in=UNFINISHED).count() < MOST_UNFINISHED:
                    call()
            except (DuplicateJob, InvalidTransition):
                continue
            except (Error, JobsError) as error:
                print(f"{call.__name__}: {error!r}", flush=True)
                connections.close_all()

    def _note(self, what: str, *jobs: Job, key: str = "", how: str = "") -> None:
        lines = [json.dumps([what, job.pk, key, how]) + "\n" for job in jobs]
        os.write(self._file, "".join(lines).encode())

    def _submit_one(self) -> None:
        self._keep(submit_job(**mix.pick(self._rng)))

    def _submit_many(self) -> None:
        self._keep(*submit_jobs([mix.pick(self._rng) for _ in range(self._rng.randint(2, 20))]))

    def _submit_family(self) -> None:
        """Two parents, a child of both, and a grandchild, in one transaction."""
        head = mix.pick(self._rng)
        where = {"organization": head["organization"]}
        with transaction.atomic():
            parents = [submit_job(**head), submit_job(**{**mix.pick(self._rng), **where})]
            child = submit_job("work", depends_on=parents, **where, **self._dependent())
            grandchild = submit_job("report", depends_on=child, **where, **self._dependent())
        self._keep(*parents, child, grandchild)

    def _dependent(self) -> dict[str, Any]:
        return {"run_after": self._rng.choice(["completed", "completed", "ended"]), "parameters": {"seconds": 0.1}}

    def _submit_unique(self) -> None:
        how = self._rng.choice(["raise", "return", "replace"])
        organization = self._rng.choice([*mix.LOADS])
        key = f"{organization}-{self._rng.randint(1, 10)}"
        job = submit_job(
            "work",
            organization,
            {"seconds": self._rng.choice([0.1, 0.5])},
            unique_key=key,
            deduplication_window=WINDOW,
            on_duplicate=how,
        )
        self._note("submitted", job, key=key, how=how)
        self._recent.append(job)

    def _fill_batch(self) -> None:
        """A batch that is filled one by one and by sets, while its jobs run; a submitter that dies leaves it open."""
        name = f"{os.getpid()}-{self._rng.randrange(2**40)}"
        follow = {
            which: {"job_type": "work", "parameters": {"seconds": 0.1, "follows": f"{name}/{which}"}}
            for which in ("then", "on_failure")
        }
        organization = self._rng.choice([*mix.LOADS])
        with create_batch(organization, name=name, then=follow["then"], on_failure=follow["on_failure"]) as batch:
            self._batches.append(batch)
            for _ in range(self._rng.randint(0, 3)):
                self._keep(submit_job(**{**mix.pick(self._rng), "organization": organization}, batch=batch))
            items = [mix.pick(self._rng) for _ in range(self._rng.randint(0, 8))]
            self._keep(*batch.submit_many(items))

    def _change_batch(self) -> None:
        if self._batches:
            self._rng.choice([cancel_batch, retry_batch, retry_batch])(self._rng.choice(self._batches))

    def _keep(self, *jobs: Job) -> None:
        self._note("submitted", *jobs)
        self._recent.extend(jobs)

    def _cancel(self) -> None:
        if self._recent:
            self._note("canceled", cancel_job(self._rng.choice(self._recent)))

    def _retry(self) -> None:
        if self._recent:
            self._note("retried", retry_job(self._rng.choice(self._recent)))
