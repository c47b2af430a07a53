"""The example project's settings for measuring: no debugging, quiet logs, a database and a Redis of their own."""

from __future__ import annotations

import os
from typing import Any

from example_project.settings import *  # noqa: F403

DEBUG = False
LOGGING: dict[str, Any] = {  # type: ignore[no-redef]
    "version": 1,
    "disable_existing_loggers": False,
    "handlers": {"console": {"class": "logging.StreamHandler"}},
    "root": {"handlers": ["console"], "level": "WARNING"},
}
DJANGO_JOBS = {"HANDLER_MODULES": ("lab.benchmarks.handlers",)}
if os.environ.get("DJANGO_JOBS_BENCH_LAYER") == "0":
    CHANNEL_LAYERS: dict[str, Any] = {}  # type: ignore[no-redef]
