"""The demo's settings, in an environment that has no more than the demo needs."""

from __future__ import annotations

from tests.bare.hiding import hide

# The REST framework loads the last three wherever they are installed, and they are 11 MB.
hide("opentelemetry", "prometheus_client", "sentry_sdk", "markdown", "psycopg", "requests")

from example_project.settings import *  # noqa: E402, F403
