"""Settings of the example project.

From the environment: REDIS_URL, DATABASE_URL, BEHIND_PGBOUNCER, SECRET_KEY, DEBUG, ALLOWED_HOSTS, VAR_DIR, STATIC_ROOT,
METRICS_TOKEN.
The defaults suit a laptop; with DEBUG off, a missing SECRET_KEY or ALLOWED_HOSTS is refused.
"""

from __future__ import annotations

import os
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import dj_database_url

from example_project.environment import is_worker, mail_to_files, read_bool, read_list, required_without_debug

BASE_DIR = Path(__file__).resolve().parent.parent
# What the project writes. Workers write files that web processes read.
VAR_DIR = Path(os.environ.get("VAR_DIR") or BASE_DIR / "var")

DEBUG = read_bool("DEBUG", default=True)
SECRET_KEY = required_without_debug("SECRET_KEY", debug=DEBUG, laptop="laptop-only-not-a-secret")
ALLOWED_HOSTS = read_list(required_without_debug("ALLOWED_HOSTS", debug=DEBUG, laptop="127.0.0.1,localhost,[::1]"))

INSTALLED_APPS = [
    # A worker shows no page. This app without its discovery leaves the pages' code out, some 5 MB of each child.
    "django.contrib.admin.apps.SimpleAdminConfig" if is_worker() else "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "rest_framework",
    "rest_framework.authtoken",
    *([] if is_worker() else ["django_filters"]),
    "django_rq",
    "channels",
    "django_jobs",
    "example_project.shop",
]
if is_worker():
    SILENCED_SYSTEM_CHECKS = ["django_jobs.W031"]  # which misses what only the API's pages need
# The API's schema and its page, where the extra `openapi` is installed.
HAS_OPENAPI = not is_worker() and all(find_spec(name) for name in ("drf_spectacular", "drf_spectacular_sidecar"))
if HAS_OPENAPI:
    INSTALLED_APPS += ["drf_spectacular", "drf_spectacular_sidecar"]

MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]

ROOT_URLCONF = "example_project.urls"
ASGI_APPLICATION = "example_project.asgi.application"

TEMPLATES: list[dict[str, Any]] = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.template.context_processors.i18n",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
        },
    },
]

DATABASE_URL = os.environ.get("DATABASE_URL") or f"sqlite:///{BASE_DIR / 'db.sqlite3'}"
DATABASES: dict[str, Any] = {"default": dict(dj_database_url.parse(DATABASE_URL))}
if DATABASES["default"]["ENGINE"] == "django.db.backends.sqlite3":
    # Web process and workers write to one file: they wait instead of failing with "database is locked".
    DATABASES["default"]["OPTIONS"] = {
        "timeout": 20,
        "transaction_mode": "IMMEDIATE",
        "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;",
    }
elif read_bool("BEHIND_PGBOUNCER", default=False):
    # A PgBouncer that pools transactions gives each of them another server: no cursor and no prepared statement lasts.
    DATABASES["default"]["DISABLE_SERVER_SIDE_CURSORS"] = True
elif DATABASES["default"]["ENGINE"] == "django.db.backends.postgresql":
    # The engine may prepare its frequent statements.
    DATABASES["default"].setdefault("OPTIONS", {}).setdefault("prepare_threshold", 5)
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

# Decided before the first migrate, like AUTH_USER_MODEL.
DJANGO_JOBS_ORGANIZATION_MODEL = "django_jobs.Organization"

DJANGO_JOBS: dict[str, Any] = {
    # Who sends it may read /metrics without an account; without it only system admins may.
    "METRICS_TOKEN": os.environ.get("METRICS_TOKEN", ""),
}

REDIS_URL = os.environ.get("REDIS_URL") or "redis://127.0.0.1:6379/0"
RQ_QUEUES = {name: {"URL": REDIS_URL} for name in ("jobs-critical", "jobs-high", "jobs-normal", "jobs-low")}

# Live progress. A read may wait as long as nothing happens: redis-py would else give up after five seconds.
CHANNEL_LAYERS: dict[str, Any] = {
    "default": {
        "BACKEND": "channels_redis.core.RedisChannelLayer",
        "CONFIG": {"hosts": [{"address": REDIS_URL, "socket_timeout": None, "socket_keepalive": True}]},
    }
}

REST_FRAMEWORK: dict[str, Any] = {
    # Token first: it is what tells a client without credentials how to come back.
    "DEFAULT_AUTHENTICATION_CLASSES": [
        "rest_framework.authentication.TokenAuthentication",
        "rest_framework.authentication.SessionAuthentication",
    ],
    "DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.IsAuthenticated"],
}
if HAS_OPENAPI:
    REST_FRAMEWORK["DEFAULT_SCHEMA_CLASS"] = "drf_spectacular.openapi.AutoSchema"
SPECTACULAR_SETTINGS = {
    "TITLE": "Background jobs",
    "DESCRIPTION": "Submit jobs, follow them, cancel and retry them.",
    "VERSION": "1",
    "OAS_VERSION": "3.1.0",
    "SERVE_INCLUDE_SCHEMA": False,
    # The pages' own files come with the installation, not from a CDN.
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
    # And nobody else is asked whether the schema is valid.
    "SWAGGER_UI_SETTINGS": {"deepLinking": True, "validatorUrl": None},
}

TIME_ZONE = "UTC"
LOGIN_URL = "shop:login"

STATIC_URL = "static/"
# Filled by `collectstatic` before the servers start, and not while they run.
STATIC_ROOT = Path(os.environ.get("STATIC_ROOT") or BASE_DIR / "var" / "static")
if not DEBUG and find_spec("servestatic"):
    MIDDLEWARE.insert(1, "servestatic.middleware.ServeStaticMiddleware")
# Reports are private: no URL serves this directory.
MEDIA_ROOT = VAR_DIR / "media"
STORAGES = {
    "default": {
        "BACKEND": "django.core.files.storage.FileSystemStorage",
        "OPTIONS": {"file_permissions_mode": 0o600, "directory_permissions_mode": 0o700},
    },
    "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"},
}

# When each organization's report is made, as a declaration of a job's handler takes it; None: never by itself. What was
# due while nothing ran is skipped, so that a demo begins with what it shows.
NIGHTLY_REPORT: dict[str, Any] | None = {
    "name": "nightly_report",
    "cron": "0 2 * * *",
    "timezone": "Europe/Berlin",
    "jitter": 600,
    "catch_up": "skip",
}

# Nothing leaves the laptop: each mail becomes a file.
DEFAULT_FROM_EMAIL = "shop@shop.example"
MAIL_DIR = VAR_DIR / "mail"
globals().update(mail_to_files(MAIL_DIR))
# What the pretended providers of the invoice run have done.
PROVIDERS_DIR = VAR_DIR / "providers"

# Where the demo's processes log, so that its terminal shows what it says itself.
DEMO_LOG_DIR = VAR_DIR / "demo"

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "handlers": {"console": {"class": "logging.StreamHandler"}},
    "root": {"handlers": ["console"], "level": "WARNING"},
    "loggers": {
        "django_jobs": {"level": "INFO"},
        # Its own console handler would print each line a second time.
        "django": {"handlers": []},
    },
}
