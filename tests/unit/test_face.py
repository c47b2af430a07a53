"""The public names, and that importing them asks nothing of the host."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import django_jobs

ROOT = Path(__file__).resolve().parent.parent.parent


def python(code: str) -> str:
    """The output of ``code`` in an interpreter that has never heard of a Django project."""
    environ = {name: value for name, value in os.environ.items() if name != "DJANGO_SETTINGS_MODULE"}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT, env=environ
    )
    return done.stdout.strip()


def test_importing_needs_neither_settings_nor_the_app_registry() -> None:
    code = "import sys, django_jobs; print(django_jobs.__version__, 'django_jobs.models' in sys.modules)"
    assert python(code) == f"{django_jobs.__version__} False"


def test_what_handlers_raise_and_the_words_are_importable_without_settings() -> None:
    code = "from django_jobs import TransientError, PermanentError, RetryLater, Status; print(Status.TIMED_OUT.value)"
    assert python(code) == "Timed Out"


@pytest.mark.parametrize("name", django_jobs.__all__)
def test_every_public_name_leads_somewhere(name: str) -> None:
    assert getattr(django_jobs, name) is not None


def test_another_name_is_no_attribute() -> None:
    with pytest.raises(AttributeError, match="no attribute 'submit_jbo'"):
        _ = django_jobs.submit_jbo
