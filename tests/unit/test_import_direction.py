"""Imports point one way, and each vendor is imported in one place."""

from __future__ import annotations

from pathlib import Path

import pytest

import django_jobs
from tests.support.imports import circles, policy_asked, wrong_imports

RIGHT = [
    ("models/job.py", "from django_jobs.statuses import Status"),
    ("engine/control/acts.py", "from django_jobs.models import Job"),
    ("engine/control/acts.py", "from django_jobs.engine import transitions"),
    ("engine/control/acts.py", "import requests"),
    ("api/urls.py", "from ..engine.control import cancel_job"),
    ("worker/pool.py", "from django_jobs.engine import control"),
    ("broker/queues.py", "import rq, redis.exceptions"),
    ("realtime/hub.py", "from channels.layers import get_channel_layer"),
    ("realtime/routing.py", "from django_jobs.realtime.auth import PROTOCOL"),
    ("contrib/socketio.py", "import engineio, socketio.packet\nfrom django_jobs.realtime import hub"),
    ("management/commands/jobs_worker.py", "from django_jobs.worker.pool import run"),
    ("exceptions.py", "if TYPE_CHECKING:\n    from django_jobs.models import Job"),
    ("contrib/opentelemetry/tracing.py", "from opentelemetry import trace"),
    ("apps.py", "def ready():\n    from django_jobs import broker, realtime"),
    ("__init__.py", "if TYPE_CHECKING:\n    from django_jobs.engine.control.acts import cancel_job"),
]

WRONG = [
    (
        "engine/dispatch/x.py",
        "def push():\n    import_string('django_jobs.broker.queues.Queue')",
        "engine imports broker",
    ),
    ("statuses.py", "from django_jobs.models import Job", "statuses imports models"),
    ("exceptions.py", "from django_jobs.models import Job", "exceptions imports models"),
    ("models/job.py", "from ..engine import control", "models imports engine"),
    ("models/job.py", "import django_jobs.engine.control.acts", "models imports engine"),
    (
        "models/job.py",
        "if TYPE_CHECKING:\n    from django_jobs.engine.control.acts import x",
        "models imports engine",
    ),
    ("engine/dispatch/dispatcher.py", "from django_jobs.broker import queues", "engine imports broker"),
    ("engine/dispatch/dispatcher.py", "from django_jobs import broker", "engine imports broker"),
    ("engine/dispatch/dispatcher.py", "def push():\n    import_module('django_jobs.broker')", "engine imports broker"),
    (
        "engine/insight/events.py",
        "def send():\n    from django_jobs.realtime import broadcast",
        "engine imports realtime",
    ),
    ("engine/control/acts.py", "from django_jobs.api import views", "engine imports api"),
    (
        "engine/control/acts.py",
        "from django_jobs import submit_job",
        "engine imports the face of the package",
    ),
    ("api/urls.py", "from django_jobs.admin import job", "api imports admin"),
    ("api/urls.py", "from django_jobs.broker import queues", "api imports broker"),
    ("admin/job.py", "from django_jobs.api.jobs import JobSerializer", "admin imports api"),
    (
        "worker/pool.py",
        "from django_jobs.management.commands import jobs_worker",
        "worker imports management",
    ),
    ("management/commands/jobs_check.py", "from django_jobs.admin import job", "management imports admin"),
    ("worker/pool.py", "from django_jobs.broker import queues", "worker imports broker"),
    ("worker/pool.py", "import rq", "worker imports rq, which only broker may"),
    (
        "worker/pool.py",
        "from redis.exceptions import RedisError",
        "worker imports redis, which only broker may",
    ),
    ("realtime/broadcast.py", "import django_rq", "realtime imports django_rq, which only broker may"),
    ("api/urls.py", "if TYPE_CHECKING:\n    import redis", "api imports redis, which only broker may"),
    (
        "contrib/sentry/events.py",
        "from opentelemetry import trace",
        "contrib imports opentelemetry, which only contrib.opentelemetry may",
    ),
    (
        "engine/observers.py",
        "import sentry_sdk",
        "engine imports sentry_sdk, which only contrib.sentry may",
    ),
    ("broker/queues.py", "import channels.layers", "broker imports channels, which only realtime may"),
    ("realtime/hub.py", "import socketio", "realtime imports socketio, which only contrib.socketio may"),
    (
        "realtime/hub.py",
        "from django_jobs.contrib.socketio import with_socketio",
        "realtime imports contrib",
    ),
    ("apps.py", "import channels_redis", "apps imports channels_redis, which only realtime may"),
    (
        "realtime/broadcast.py",
        "from django_jobs.realtime.routing import serve",
        "realtime.broadcast imports realtime.routing, which is an edge",
    ),
    (
        "engine/transitions.py",
        "from django_jobs.engine.control import x",
        "engine.transitions imports engine.control, which stands above it",
    ),
    (
        "engine/store/base.py",
        "def late():\n    from django_jobs.engine import transitions",
        "engine.store imports engine.transitions, which stands above it",
    ),
    (
        "engine/helpers.py",
        "from django_jobs.engine import store",
        "engine.helpers has no place in the engine's order; give it one",
    ),
    ("helpers.py", "import os", "helpers has no place in the layers; give it one"),
]


def package_in(directory: Path) -> Path:
    """A tree with the modules of django_jobs that the examples below import, all of them empty."""
    for name in ("models/job", "engine/control", "engine/transitions", "broker/queues", "realtime/routing"):
        module = directory / "django_jobs" / f"{name}.py"
        module.parent.mkdir(parents=True, exist_ok=True)
        module.touch()
    return directory / "django_jobs"


def write(package: Path, file: str, source: str) -> None:
    path = package / file
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"{source}\n")


def test_imports_point_one_way() -> None:
    assert wrong_imports(Path(django_jobs.__file__).parent) == []


def test_no_modules_import_each_other() -> None:
    assert circles(Path(django_jobs.__file__).parent) == []


def test_no_door_asks_the_access_policy() -> None:
    assert policy_asked(Path(django_jobs.__file__).parent) == []


@pytest.mark.parametrize(
    ("source", "name"),
    [
        ("from django_jobs.engine.access import get_policy, key_in", "get_policy"),
        ("from django_jobs.engine import access", "access"),
        ("def rows(user):\n    return Job.primary.visible_to(user)", "visible_to"),
    ],
)
def test_a_door_that_asks_the_access_policy_is_found(tmp_path: Path, source: str, name: str) -> None:
    package = package_in(tmp_path)
    write(package, "admin/job.py", source)
    write(package, "engine/scope.py", source)

    assert policy_asked(package) == [f"admin/job.py: {name}"]


def test_a_circle_is_found_though_one_import_is_late(tmp_path: Path) -> None:
    package = package_in(tmp_path)
    write(package, "models/job.py", "from django_jobs.models import day")
    write(package, "models/day.py", "def late():\n    from django_jobs.models.job import Job")

    assert circles(package) == [["models.day", "models.job"]]


def test_an_import_down_the_layers_is_accepted(subtests: pytest.Subtests, tmp_path: Path) -> None:
    for number, (file, source) in enumerate(RIGHT):
        with subtests.test(file=file, source=source):
            package = package_in(tmp_path / str(number))
            write(package, file, source)

            assert wrong_imports(package) == []


def test_a_wrong_import_is_found(subtests: pytest.Subtests, tmp_path: Path) -> None:
    for number, (file, source, reason) in enumerate(WRONG):
        with subtests.test(file=file, source=source):
            package = package_in(tmp_path / str(number))
            write(package, file, source)

            (found,) = wrong_imports(package)
            assert found.startswith(f"{file}:")
            assert found.endswith(f": {reason}")
