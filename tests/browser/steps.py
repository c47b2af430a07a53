"""A job that goes on only when the test lets it, in the place of the report that the page starts."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Final

from django_jobs import JobContext
from django_jobs.models import JobType
from tests.support.waiting import wait_until
from tests.support.workers import ProcessPool

VARIABLE: Final = "DJANGO_JOBS_TEST_STEPS"
END: Final = 100
PATIENCE: Final = 120.0
CONTENT: Final = b"%PDF-1.4 made by a test"


def go_step_by_step(context: JobContext) -> dict[str, Any]:
    """Reports each percentage once there is a file of that name, and saves its own file after the last one."""
    directory, at = Path(os.environ[VARIABLE]), 0

    def next_step() -> int:
        context.update_progress(at)  # where it may be canceled
        return next((step for step in range(at + 1, END + 1) if (directory / str(step)).exists()), 0)

    while at < END:
        at = wait_until(next_step, PATIENCE, "the next step")
        context.update_progress(at, f"At step {at}")
    return {"output_reference": context.save_output("sales.pdf", CONTENT)}


class Steps:
    """Reports become such jobs, and a worker runs them."""

    def __init__(self, directory: Path, processes: ProcessPool) -> None:
        self._directory = directory
        handler = f"{__name__}.{go_step_by_step.__name__}"
        JobType.objects.filter(pk="pdf_generation").update(handler_method=handler)
        settings = {"HANDLER_MODULES": [__name__], "PROGRESS_INTERVAL": 0.1}
        processes.worker("--processes", "2", settings=settings, environ={VARIABLE: str(directory)})

    def let(self, step: int) -> None:
        """Let the jobs go on to this percentage."""
        (self._directory / str(step)).touch()
