"""A host that has swapped the organization for its own; which of them, ``SWAPPED_MODEL`` says."""

from __future__ import annotations

import os

from tests.settings import *  # noqa: F403
from tests.settings import DJANGO_JOBS as _JOBS
from tests.settings import INSTALLED_APPS as _APPS

# The example shop is made for the built-in organization.
ROOT_URLCONF = "tests.swapped.urls"
INSTALLED_APPS = [*(app for app in _APPS if app != "example_project.shop"), "tests.swapped"]

DJANGO_JOBS_ORGANIZATION_MODEL = os.environ.get("SWAPPED_MODEL", "swapped.Tenant")
DJANGO_JOBS = {
    **_JOBS,
    "ACCESS_POLICY": "tests.swapped.access.SeatPolicy",
    "ORGANIZATION_ID_FIELD": {"swapped.Tenant": "slug", "swapped.Branch": "code"}[DJANGO_JOBS_ORGANIZATION_MODEL],
}
