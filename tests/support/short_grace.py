"""A worker that kills sooner what does not stop. ``tests.settings`` install it in processes that ask for it."""

from __future__ import annotations

import os
from typing import Final

from django.apps import AppConfig

VARIABLE: Final = "DJANGO_JOBS_TEST_GRACE"
#: The environment of a worker whose handler will not stop in any case: waiting for longer would show nothing more.
SHORT_GRACE: Final = {VARIABLE: "1"}


class ShortGrace(AppConfig):
    """Shortens the constants of the worker in this process."""

    name = "tests.support"
    label = "short_grace"

    def ready(self) -> None:
        from django_jobs.worker import housekeeper, supervisor

        graces = (
            (supervisor, "TIMEOUT_GRACE_SECONDS"),
            (supervisor, "STOP_MARGIN_SECONDS"),
            (housekeeper, "TIMEOUT_GRACE_SECONDS"),
        )
        for module, constant in graces:
            getattr(module, constant)  # one that moved must not be set in vain
            setattr(module, constant, float(os.environ[VARIABLE]))
