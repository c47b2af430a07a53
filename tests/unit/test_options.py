"""What `jobs_worker` was asked to do, on its way to the children."""

from __future__ import annotations

import pytest

from django_jobs.worker.options import WorkerOptions


@pytest.mark.parametrize(
    "options",
    [
        WorkerOptions(),
        WorkerOptions(
            processes=4,
            threads=2,
            queues=("jobs-high", "jobs-low"),
            burst=True,
            scheduler=False,
            max_jobs=9,
            reload=True,
        ),
    ],
)
def test_options_survive_the_way_through_json(options: WorkerOptions) -> None:
    assert WorkerOptions.from_json(options.to_json()) == options
