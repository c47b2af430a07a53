"""The benchmarks' settings, with a second pool and a policy that knows weights."""

from __future__ import annotations

from typing import Any, Final

from lab.benchmarks.settings import *  # noqa: F403
from lab.benchmarks.settings import LOGGING

SECOND_POOL: Final = "second"
DJANGO_JOBS: dict[str, Any] = {  # type: ignore[no-redef]
    "HANDLER_MODULES": ("lab.benchmarks.handlers", "lab.benchmarks.flow.handlers"),
    "POOLS": {SECOND_POOL: {}},
    "ACCESS_POLICY": "lab.benchmarks.flow.policy.Weighted",
}
# Children that are killed, and providers that are down, are what is wanted here.
LOGGING = {**LOGGING, "loggers": {"django_jobs": {"level": "CRITICAL"}}}
CHANNEL_LAYERS: dict[str, Any] = {}  # type: ignore[no-redef]
