"""What enqueuing a task of Django's interface costs beside submitting the same job. Only prints figures.

    createdb bench
    export DATABASE_URL=postgres://postgres@127.0.0.1/bench REDIS_URL=redis://127.0.0.1:6379/7
    export DJANGO_SETTINGS_MODULE=lab.benchmarks.settings
    python -m django migrate
    python -m lab.benchmarks.tasks [pairs]

The Redis database is emptied. Calls of the two kinds take turns, so that whatever slows the machine slows both. Each
round begins with empty tables; the ratio is the median of the rounds' ratios, which are those of their medians.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable
from typing import Any, Final

import django
from django.conf import settings

settings.TASKS = {"default": {"BACKEND": "django_jobs.tasks.JobsBackend"}}
settings.DJANGO_JOBS = {**getattr(settings, "DJANGO_JOBS", {}), "SYSTEM_ORGANIZATION": "BENCH-SYSTEM"}
django.setup()

from django_jobs import submit_job
from lab.benchmarks import setting
from tests.support import tasks

PAIRS: Final = 6_000
ROUND: Final = 1_000
WARM_UP: Final = 50


def main(pairs: int) -> None:
    ratios = [_round(number) for number in range(max(1, pairs // ROUND))]
    print(
        f"enqueue takes {statistics.median(ratios):.3f} of submit_job (rounds: {', '.join(f'{r:.3f}' for r in ratios)})"
    )


def _round(number: int) -> float:
    setting.reset()
    calls: dict[str, Callable[[int], Any]] = {
        "submit_job": lambda item: submit_job("nothing", None, {"first": item, "second": 1}),
        "enqueue": lambda item: tasks.add.enqueue(item, second=1),
    }
    times: dict[str, list[float]] = {name: [] for name in calls}
    for item in range(WARM_UP + ROUND):
        for name in sorted(calls, reverse=bool((item + number) % 2)):  # neither is always the second
            began = time.perf_counter()
            calls[name](item)
            times[name].append(time.perf_counter() - began)
    medians = {name: statistics.median(found[WARM_UP:]) for name, found in times.items()}
    print(", ".join(f"{name} {median * 1000:.3f} ms" for name, median in medians.items()))
    return medians["enqueue"] / medians["submit_job"]


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else PAIRS)
