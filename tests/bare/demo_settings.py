"""The demo's settings, in an environment that has no more than the demo needs."""

from __future__ import annotations

from tests.bare.hiding import hide

hide("opentelemetry", "prometheus_client", "sentry_sdk")

from example_project.settings import *  # noqa: E402, F403
