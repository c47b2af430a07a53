"""Django's settings for the peers that want them: those of ``startproject``, and what each one's documents add."""

from __future__ import annotations

import os
from typing import Any
from urllib.parse import urlsplit

from lab.benchmarks.peers.adapters.peer import database_url, redis_url

_peer = os.environ["PEERS_NAME"].removesuffix("-50")
_address = urlsplit(database_url())

SECRET_KEY = "only for measuring"
USE_TZ = True
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
ROOT_URLCONF = "lab.benchmarks.peers.adapters.settings"
urlpatterns: list[Any] = []

INSTALLED_APPS = [
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
]
MIDDLEWARE = [
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
]
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ]
        },
    }
]
# Connections that stay, as Django recommends: some workers would else open one for each job.
DATABASES: dict[str, Any] = {
    "default": {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": _address.path[1:],
        "HOST": _address.hostname,
        "PORT": _address.port or 5432,
        "USER": _address.username or "postgres",
        "PASSWORD": _address.password or "",
        "CONN_MAX_AGE": 600,
    }
}

if _peer == "django_jobs":
    INSTALLED_APPS += ["rest_framework", "django_filters", "django_rq", "channels", "django_jobs"]
    DATABASES["default"]["OPTIONS"] = {"prepare_threshold": 5}
    RQ_QUEUES = {f"jobs-{name}": {"URL": redis_url()} for name in ("critical", "high", "normal", "low")}
    CHANNEL_LAYERS = {
        "default": {
            "BACKEND": "channels_redis.core.RedisChannelLayer",
            "CONFIG": {"hosts": [{"address": redis_url(), "socket_timeout": None}]},
        }
    }
    DJANGO_JOBS = {"HANDLER_MODULES": ("lab.benchmarks.handlers",)}
elif _peer == "django-q2":
    INSTALLED_APPS += ["django_q"]
    # Every outcome is kept; the default keeps the last 250 and looks at them with each job.
    Q_CLUSTER = {
        "name": "peers",
        "redis": redis_url(),
        "workers": 2,
        "timeout": 60,
        "retry": 120,
        "queue_limit": 50,
        "save_limit": 0,
        "log_level": "WARNING",
    }
elif _peer == "django-tasks-db":
    INSTALLED_APPS += ["django_tasks_db"]
    TASKS = {"default": {"BACKEND": "django_tasks_db.DatabaseBackend", "QUEUES": ["default"]}}
elif _peer == "django-ox":
    INSTALLED_APPS += ["django_ox"]
    if "PEERS_POOL" in os.environ:
        pool = {"min_size": 2, "max_size": int(os.environ["PEERS_POOL"])}
        DATABASES["default"] |= {"CONN_MAX_AGE": 0, "OPTIONS": {"pool": pool}}
    TASKS = {"default": {"BACKEND": "django_ox.backend.OxBackend"}}
