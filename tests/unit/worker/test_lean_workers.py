"""What a worker's processes load where a host has the jobs alone."""

from __future__ import annotations

from typing import Final

from tests.support.interpreters import printed_by

#: What belongs to doors that a bare host has not installed, and what only pages, words, schedulers, migrations or those
#: who make batches need.
UNNEEDED: Final = (
    "channels",
    "cron_descriptor",
    "django.contrib.admin",
    "django_filters",
    "django_jobs.admin",
    "django_jobs.api",
    "django_jobs.engine.alerts",
    "django_jobs.engine.control.batches",
    "django_jobs.engine.control.tenants",
    "django_jobs.engine.insight.inspection",
    "django_jobs.engine.insight.status",
    "django_jobs.engine.job_types.declared_types",
    "django_jobs.engine.schedules",
    "django_jobs.realtime",
    "drf_spectacular",
    "opentelemetry",
    "rest_framework",
    "rq.cron",
)
START: Final = """
import os, sys

os.environ["DJANGO_SETTINGS_MODULE"] = "tests.bare.settings"
import django

django.setup()
"""


def test_a_child_of_a_bare_project_loads_nothing_of_the_doors_that_are_not_installed() -> None:
    code = f"""
from django_jobs.management.commands import jobs_worker
from django_jobs.worker import child
assert "tests.bare.jobs" in sys.modules  # its handlers
print([name for name in {UNNEEDED!r} if name in sys.modules])
"""
    assert printed_by(START + code) == "[]"


def test_a_child_has_nothing_of_what_only_its_supervisor_needs() -> None:
    code = """
from django_jobs.management.commands import jobs_worker
unneeded = ("django_jobs.worker.supervisor", "django_jobs.worker.children", "django_jobs.engine.scheduler")
print([name for name in unneeded if name in sys.modules])
"""
    assert printed_by(START + code) == "[]"


def test_a_process_loads_what_its_own_databases_can_do_and_nothing_of_others() -> None:
    code = """
from django.db import connection
from django_jobs.engine.store import database

database.load_lines()
stores = {"postgresql": "postgresql_core", "mysql": "mariadb", "sqlite": "sqlite"}
loaded = [name for name in stores.values() if f"django_jobs.engine.store.{name}" in sys.modules]
print(loaded == [stores[connection.vendor]], connection.connection)
"""
    assert printed_by(START + code) == "True None"


def test_what_receivers_are_told_with_is_loaded_before_the_fork_where_there_are_receivers() -> None:
    code = """
from django_jobs import signals
from django_jobs.engine.insight import events

def is_loaded():
    events.load()
    return "django_jobs.engine.insight.status" in sys.modules

before = is_loaded()
signals.job_finished.connect(print)
print(before, is_loaded())
"""
    assert printed_by(START + code) == "False True"


def test_the_checks_find_nothing_wrong_with_a_bare_project() -> None:
    code = """
from django.core.management import call_command
call_command("check")
"""
    assert printed_by(START + code) == "System check identified no issues (0 silenced)."


def test_a_worker_of_the_demo_loads_neither_the_pages_of_the_admin_nor_the_api() -> None:
    code = """
import os, sys

os.environ["DJANGO_SETTINGS_MODULE"] = "example_project.settings"
sys.argv = ["manage.py", "jobs_worker"]
import django

django.setup()
from django_jobs.management.commands import jobs_worker
pages = ("django_jobs.admin", "django_jobs.api", "django_rq.views", "django_filters", "drf_spectacular.views")
print([name for name in pages if name in sys.modules])
"""
    assert printed_by(code) == "[]"
