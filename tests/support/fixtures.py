"""The layers' rules, and the few fixtures that all tests share.

Loaded by tests/support/plugin.py and no conftest, since ``lab/`` has them too.
"""

from __future__ import annotations

import contextlib
import math
import os
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest
import redis

from tests.support.nursery import NURSERIES
from tests.support.plugin import surroundings_of_run
from tests.support.workers import ProcessPool

if TYPE_CHECKING:
    from pytest_django import DjangoDbBlocker

    from tests.support.brokers import MemoryBroker

ROOT: Final = Path(__file__).resolve().parents[2]
DATABASE_FIXTURES: Final = frozenset({"db", "transactional_db", "django_db_reset_sequences", "live_server"})
LAYER_MARKS: Final = {
    "integration": pytest.mark.django_db,
    "concurrency": pytest.mark.django_db(transaction=True),
    "acceptance": pytest.mark.django_db(transaction=True),
}
process_pool: Final = pytest.StashKey[ProcessPool]()


def layer_of(path: Path) -> str:
    """The folder in which a test lies: ``unit`` of ``tests/unit``, and all of ``lab/`` is one."""
    top, folder = path.relative_to(ROOT).parts[:2]
    return folder if top == "tests" else top


# First, because pytest-django sorts the tests by the mark that is given here.
@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        layer = layer_of(item.path)
        own_mark = item.get_closest_marker("django_db")
        if layer == "unit" and (own_mark or DATABASE_FIXTURES & set(getattr(item, "fixturenames", ()))):
            raise pytest.UsageError(f"{item.nodeid} uses the database: it belongs in tests/integration.")
        if layer in LAYER_MARKS and own_mark is None:
            item.add_marker(LAYER_MARKS[layer])


def pytest_unconfigure() -> None:
    NURSERIES.close()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, Any, Any]:
    report = yield
    if report.failed and process_pool in item.stash:
        report.sections.append(("Logs of the processes", item.stash[process_pool].logs()))
        if report.when == "call":  # later they have ended
            with contextlib.suppress(Exception):  # whatever it is, the report is needed
                report.sections.append(("States of the processes", item.stash[process_pool].states()))
    return report


@pytest.fixture
def bracketed() -> Iterator[None]:
    """Let the active language be one that puts all of its texts into brackets."""
    from tests.support.bracketed_language import speak_in_brackets

    with speak_in_brackets():
        yield


@pytest.fixture(scope="session")
def django_db_setup(
    django_db_setup: None, django_db_blocker: DjangoDbBlocker, request: pytest.FixtureRequest
) -> Iterator[None]:
    from django.db import connection

    from tests.support.emptying import Emptying

    with django_db_blocker.unblock():
        emptying = Emptying()
    with emptying.instead_of_djangos():
        yield
    bouncer = request.config.stash[surroundings_of_run].bouncer
    if bouncer is not None:  # no database is dropped to which it keeps connections
        connection.close()
        bouncer.let_go(connection.settings_dict["NAME"])


@pytest.fixture(autouse=True)
def _new_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the engine know no more than in a new process: nothing of an earlier test's workers or of its slow Redis, nor
    the language of its last request.
    """
    from django.utils import translation

    from django_jobs.engine.dispatch import time_budget
    from django_jobs.engine.ports import use_broker
    from tests.support.brokers import forget_everything

    forget_everything()
    translation.deactivate()
    use_broker(None)
    monkeypatch.setattr(time_budget, "_rests_until", -math.inf)


@pytest.fixture(autouse=True)
def _no_line_watch(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a command that a test calls leave no thread behind, which would meet what later tests make of ``time``."""
    from django_jobs.engine.store import line_watch

    monkeypatch.setattr(line_watch, "start", lambda: None)


@pytest.fixture(autouse=True)
def _whole_families(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let whoever commits follow up all of it on a slow machine, too, but in tests of the time that it may take."""
    from django_jobs.engine.dependencies import follow_up

    monkeypatch.setattr(follow_up, "COMMIT_SECONDS", math.inf)
    monkeypatch.setattr(follow_up, "TICK_SECONDS", math.inf)


@pytest.fixture(autouse=True)
def _whole_duties(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a duty of some tenths of a second get through on a slow machine, too, but in tests of that time."""
    from django_jobs.engine.batches import counting
    from django_jobs.engine.control import batch_duties, lane_keys, operation_work, sweeps
    from django_jobs.engine.dispatch import delays, expirations
    from django_jobs.engine.insight import rollups

    for module in (batch_duties, counting, expirations, lane_keys, operation_work, rollups):
        monkeypatch.setattr(module, "TICK_SECONDS", 60.0)
    monkeypatch.setattr(delays, "SECONDS", 60.0)
    monkeypatch.setattr(batch_duties, "CALL_SECONDS", 60.0)
    monkeypatch.setattr(sweeps, "STEP_SECONDS", 60.0)


@pytest.fixture(autouse=True)
def _whole_submissions(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let whoever submits queue the job, too, on a slow machine, but in tests of the time that the broker may take.

    A collection of all that a long run of tests has left takes longer than that.
    """
    from tests.support import time_budgets

    time_budgets.allow(60.0, monkeypatch)


@pytest.fixture(autouse=True)
def _whole_walks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no walk of a slow machine begin at a mark, but in tests of marks."""
    from django_jobs.engine.dispatch import in_flight, lane_marks, short_way

    for module in (in_flight, lane_marks):
        monkeypatch.setattr(module, "SLOW_SECONDS", math.inf)
    for rest in (lane_marks._asking, short_way.REST):
        rest.end()
        monkeypatch.setattr(rest, "slow_seconds", math.inf)


@pytest.fixture(autouse=True)
def _empty_redis(request: pytest.FixtureRequest) -> None:
    """Let no test find what another one left in the run's Redis, but in unit tests, which have none."""
    if layer_of(request.path) != "unit":
        with redis.Redis.from_url(os.environ["REDIS_URL"]) as client:
            client.flushdb()


@pytest.fixture
def redis_client(_empty_redis: None) -> Iterator[redis.Redis]:
    """The run's Redis, emptied."""
    with redis.Redis.from_url(os.environ["REDIS_URL"]) as client:
        yield client


@pytest.fixture
def processes(
    request: pytest.FixtureRequest, transactional_db: None, redis_client: redis.Redis, tmp_path: Path
) -> Iterator[ProcessPool]:
    """Starts ``manage.py`` commands; what a test leaves running ends before the database is emptied."""
    pool = request.node.stash[process_pool] = ProcessPool(tmp_path)
    yield pool
    pool.clean_up()


@pytest.fixture
def broker(monkeypatch: pytest.MonkeyPatch) -> Iterator[MemoryBroker]:
    """A broker in memory in the place of Redis."""
    from django_jobs.engine.ports import use_broker
    from tests.support.brokers import MemoryBroker

    memory = MemoryBroker()
    use_broker(memory)
    yield memory
    use_broker(None)
