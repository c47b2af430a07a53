"""Constants of the worker that a process of a test has otherwise: longer waits would show nothing more.

``tests.settings`` install the app where the environment asks for it.
"""

from __future__ import annotations

import json
import os
from importlib import import_module
from typing import Final

from django.apps import AppConfig

VARIABLE: Final = "DJANGO_JOBS_TEST_CONSTANTS"


def constants(**values: float) -> dict[str, str]:
    """The environment of a process with these values of ``django_jobs.worker``: ``supervisor__TICK_SECONDS=1``.

    What lies elsewhere has the path below ``django_jobs`` before it: ``engine.batches.pace__NEAR``.
    """
    return {VARIABLE: json.dumps(values)}


#: For a worker whose handler will not stop in any case: it is killed a second after its time, not five.
SHORT_GRACE: Final = constants(shared_slots__TIMEOUT_GRACE_SECONDS=1.0, supervisor__STOP_MARGIN_SECONDS=1.0)


class Constants(AppConfig):
    """Sets them in this process."""

    name = "tests.support"
    label = "constants"

    def ready(self) -> None:
        set_all()


def set_all() -> None:
    """Set what the environment names."""
    for path, value in json.loads(os.environ[VARIABLE]).items():
        module, _, constant = path.partition("__")
        found = import_module(f"django_jobs.{module}" if "." in module else f"django_jobs.worker.{module}")
        getattr(found, constant)  # one that moved must not be set in vain
        setattr(found, constant, value)
