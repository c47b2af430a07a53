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


def test_every_public_name_leads_somewhere(subtests: pytest.Subtests) -> None:
    for name in django_jobs.__all__:
        with subtests.test(name=name):
            assert getattr(django_jobs, name) is not None


CONFIGURED = """
import django, inspect
from django.conf import settings
settings.configure(
    INSTALLED_APPS=["django.contrib.contenttypes", "django.contrib.auth", "django_jobs"], USE_TZ=True,
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}},
)
"""


#: Classes that stand on the models.
LATE = {"AccessPolicy", "ResultReference"}


@pytest.mark.slow
def test_every_function_can_be_imported_before_the_apps_are_ready() -> None:
    names = [name for name in django_jobs.__all__ if name not in LATE]
    code = f"""{CONFIGURED}
import os, django_jobs
def is_importable(name):
    child = os.fork()  # where no other name was imported before it
    if not child:
        try:
            getattr(django_jobs, name)
            os._exit(0)
        finally:
            os._exit(1)
    return os.waitpid(child, 0)[1] == 0
alone = {{name: is_importable(name) for name in {names}}}
early = {{name: getattr(django_jobs, name) for name in {names}}}
django.setup()
for name, first in early.items():
    real = getattr(django_jobs, name)
    is_ours, is_like_it = real.__module__.startswith("django_jobs."), first.__name__ == real.__name__
    is_of_a_kind = inspect.iscoroutinefunction(first) == inspect.iscoroutinefunction(real)
    print(name, alone[name], is_ours, is_like_it, is_of_a_kind, bool(first.__doc__))
"""
    assert python(code).splitlines() == [f"{name} True True True True True" for name in names]


def test_what_was_imported_before_the_apps_were_ready_does_its_work_afterwards() -> None:
    code = f"""{CONFIGURED}
import asyncio
from django_jobs import aget_job_status, get_organization_model
django.setup()
from django_jobs.exceptions import JobNotFound
from django_jobs.models import Organization
from django_jobs.engine import asynchronous
asynchronous.aget_job_status = lambda job_id: asyncio.sleep(0, job_id)
print(get_organization_model() is Organization, asyncio.run(aget_job_status("JOB-1")))
"""
    assert python(code) == "True JOB-1"


def test_a_handlers_context_that_was_imported_before_the_apps_were_ready_is_one_of_its_class() -> None:
    code = f"""{CONFIGURED}
from django_jobs import JobContext as early
django.setup()
from django_jobs import JobContext
print(early.__name__, isinstance(JobContext.__new__(JobContext), early), isinstance(1, early))
"""
    assert python(code) == "JobContext True False"


def test_a_class_that_needs_the_apps_says_where_it_can_be_had() -> None:
    code = f"""{CONFIGURED}
import django_jobs
from django.core.exceptions import AppRegistryNotReady
names = {sorted(LATE)}
for name in names:
    try:
        getattr(django_jobs, name)
    except AppRegistryNotReady as error:
        print(error)
django.setup()
for name in names:
    print(getattr(django_jobs, name).__name__)
"""
    said = python(code).splitlines()
    for name, text, later in zip(sorted(LATE), said[: len(LATE)], said[len(LATE) :], strict=True):
        assert text.startswith(f"django_jobs.{name} ")
        assert later == name


def test_another_name_is_no_attribute() -> None:
    with pytest.raises(AttributeError, match="'submit_jbo'"):
        _ = django_jobs.submit_jbo
