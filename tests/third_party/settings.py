"""A host with a package that ships tasks of Django's interface and knows nothing of us."""

from __future__ import annotations

from tests.settings import *  # noqa: F403
from tests.settings import DJANGO_JOBS as _JOBS
from tests.settings import INSTALLED_APPS as _APPS

INSTALLED_APPS = [*_APPS, "maintenance_tasks"]
# Each run hands over to a task of its own after its first batch.
MAINTENANCE_TASKS = {"MAX_RUNTIME": 0}
DJANGO_JOBS = {**_JOBS, "SYSTEM_ORGANIZATION": "SYSTEM"}
