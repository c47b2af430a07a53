"""Where the task interface comes from, and that a module with @task needs no app registry."""

from __future__ import annotations

import re
import runpy
import subprocess
import sys
from typing import Final

import django
import pytest
from django.core.exceptions import ImproperlyConfigured

from django_jobs.tasks import framework
from tests.support.verbs import DjangoTask

PACKAGE: Final = DjangoTask.__module__.removesuffix(".base")
EARLY: Final = f"""
from django.conf import settings
settings.configure(TASKS={{"default": {{"BACKEND": "django_jobs.tasks.JobsBackend"}}}})
from {PACKAGE} import task
from django_jobs.tasks import JobTask, task_options
@task
@task_options(max_retries=2)
def early():
    pass
assert isinstance(early, JobTask)
"""


def test_before_django_6_a_missing_package_is_named_with_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(django, "VERSION", (5, 2, 0, "final", 0))
    monkeypatch.setitem(sys.modules, "django_tasks", None)
    with pytest.raises(ImproperlyConfigured, match=r"django-durable-jobs\[tasks\]"):
        runpy.run_path(framework.__file__)


def test_tasks_may_be_declared_before_the_apps_are_ready() -> None:
    run = subprocess.run([sys.executable, "-c", EARLY], capture_output=True, text=True, check=False)
    assert (run.returncode, run.stderr) == (0, "")


#: A host whose apps load Django's interface no sooner than something runs, as with its URLs.
HOST_WITH_A_WRONG_OPTION = """
import sys
import django
from django.conf import settings
from django.core.management import call_command

settings.configure(
    INSTALLED_APPS=["django.contrib.auth", "django.contrib.contenttypes", "django_jobs"],
    RQ_QUEUES={f"jobs-{name}": {"URL": "redis://localhost:1/0"} for name in ("critical", "high", "normal", "low")},
    TASKS={"default": {"BACKEND": "django_jobs.tasks.JobsBackend", "OPTIONS": {"max_retry": 3}}},
)
django.setup()
call_command("check")
"""


@pytest.mark.skipif(django.VERSION < (6, 0), reason="django-tasks is an app, which registers its checks itself")
def test_a_wrong_option_is_found_by_the_check_though_nothing_has_loaded_the_interface() -> None:
    run = subprocess.run([sys.executable, "-c", HOST_WITH_A_WRONG_OPTION], capture_output=True, text=True, check=False)
    assert re.search(r"\(django_jobs\.E043\) TASKS\['default'\]\['OPTIONS'\] .*'max_retry'", run.stderr)
