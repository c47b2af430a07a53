"""Reading settings from environment variables."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import django
from django.core.exceptions import ImproperlyConfigured

_YES = {"1", "true", "yes", "on"}
_NO = {"0", "false", "no", "off"}


def is_worker() -> bool:
    """Return whether this process was started to run jobs, by ``manage.py jobs_worker``."""
    return sys.argv[1:2] == ["jobs_worker"]


def read_bool(name: str, *, default: bool) -> bool:
    """Return the variable as True or False; unset or empty means `default`."""
    text = os.environ.get(name, "").strip().lower()
    if text and text not in _YES | _NO:
        raise ImproperlyConfigured(f"{name}={text!r} is neither yes nor no.")
    return text in _YES if text else default


def read_list(text: str) -> list[str]:
    """Return the parts of a comma-separated text."""
    return [part.strip() for part in text.split(",") if part.strip()]


def required_without_debug(name: str, *, debug: bool, laptop: str) -> str:
    """Return the variable; while DEBUG is on, `laptop` if it is unset."""
    value = os.environ.get(name, "").strip()
    if value:
        return value
    if debug:
        return laptop
    raise ImproperlyConfigured(f"{name} must be set in the environment when DEBUG is off.")


def mail_to_files(directory: Path) -> dict[str, Any]:
    """Return the settings that write mails into files in ``directory``. Django 6.1 names them differently."""
    backend = "django.core.mail.backends.filebased.EmailBackend"
    if django.VERSION < (6, 1):
        return {"EMAIL_BACKEND": backend, "EMAIL_FILE_PATH": directory}
    return {"MAILERS": {"default": {"BACKEND": backend, "OPTIONS": {"file_path": directory}}}}
