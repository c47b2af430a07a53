"""The settings of a process that is to be harmed."""

from __future__ import annotations

from tests.settings import *  # noqa: F403
from tests.settings import DJANGO_JOBS as _JOBS

# The database ends a transaction of which it hears nothing after half of it.
DJANGO_JOBS = {**_JOBS, "LEASE_SECONDS": 2}
