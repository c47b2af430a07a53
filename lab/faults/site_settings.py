"""The tests' settings on servers that a test started: DJANGO_JOBS_FAULTS_SITE holds them as JSON."""

from __future__ import annotations

import json
import os
from typing import Any, Final

from tests.settings import *  # noqa: F403
from tests.settings import DJANGO_JOBS, RQ_QUEUES

VARIABLE: Final = "DJANGO_JOBS_FAULTS_SITE"

_given: dict[str, Any] = json.loads(os.environ.get(VARIABLE, "{}"))
if _given:
    DATABASES = {"default": {"ENGINE": "django.db.backends.postgresql", **_given["database"]}}
    RQ_QUEUES = dict.fromkeys(RQ_QUEUES, _given["queue"])
    DJANGO_JOBS = {**DJANGO_JOBS, **_given["jobs"]}
CHANNEL_LAYERS = {}
