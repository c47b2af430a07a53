"""The example project's settings, made fast and kept away from anything that is not a test's.

The URLs and ``DJANGO_JOBS_TEST_DIR`` come from ``tests.support.plugin``; a worker that a test starts gets the
test database as its ``DATABASE_URL``, and as JSON in ``DJANGO_JOBS_TEST_SETTINGS`` what the test asks of it.
"""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path
from typing import Any

from example_project.environment import mail_to_files
from example_project.settings import *  # noqa: F403
from example_project.settings import DATABASES, INSTALLED_APPS, MIDDLEWARE
from tests.support.chosen_store import VARIABLE as CHOSEN_STORE
from tests.support.smtp import mail_settings
from tests.support.tuning import VARIABLE as TUNING

RUN_DIR = Path(os.environ.get("DJANGO_JOBS_TEST_DIR") or tempfile.gettempdir())

if TUNING in os.environ:
    INSTALLED_APPS = [*INSTALLED_APPS, "tests.support.tuning.Tuned"]
if CHOSEN_STORE in os.environ:
    INSTALLED_APPS = [*INSTALLED_APPS, "tests.support.chosen_store.ChosenStore"]

INSTALLED_APPS = [*INSTALLED_APPS, *os.environ.get("DJANGO_JOBS_TEST_APPS", "").split()]

DEBUG = False
# After the session: the console and the elements are tested in all languages.
MIDDLEWARE = [*MIDDLEWARE]
_session = MIDDLEWARE.index("django.contrib.sessions.middleware.SessionMiddleware")
MIDDLEWARE.insert(_session + 1, "django.middleware.locale.LocaleMiddleware")
ROOT_URLCONF = "tests.urls"
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]

_default: dict[str, Any] = DATABASES["default"]
if _default["ENGINE"] == "django.db.backends.sqlite3":
    # A file, not memory: worker processes open it too.
    _default["TEST"] = {"NAME": str(RUN_DIR / "test_db.sqlite3")}
elif _default["ENGINE"] == "django.db.backends.mysql":
    _default["TEST"] = {"CHARSET": "utf8mb4"}

MEDIA_ROOT = RUN_DIR / "media"
STATIC_ROOT = RUN_DIR / "static"
DEMO_LOG_DIR = RUN_DIR / "demo"
MAIL_DIR = RUN_DIR / "mail"
globals().update(mail_to_files(MAIL_DIR) | mail_settings())
PROVIDERS_DIR = RUN_DIR / "providers"

# Processes that tests start have the real layer; tests in this process put one in memory in its place.
if "DJANGO_JOBS_TEST_SETTINGS" not in os.environ:
    CHANNEL_LAYERS: dict[str, Any] = {}  # type: ignore[no-redef]

# A test that counts schedules makes its own.
NIGHTLY_REPORT: dict[str, Any] | None = None  # type: ignore[no-redef]

TASKS: dict[str, Any] = {
    "default": {"BACKEND": "django_jobs.tasks.JobsBackend", "QUEUES": []},
    "other": {"BACKEND": "django_jobs.tasks.JobsBackend"},
}

DJANGO_JOBS = {
    "HANDLER_MODULES": ("tests.support.handlers", "tests.support.coroutines", "tests.support.recorded_handlers"),
    **json.loads(os.environ.get("DJANGO_JOBS_TEST_SETTINGS", "{}")),
}
