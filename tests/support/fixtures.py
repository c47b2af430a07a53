"""The layers' rules, and the few fixtures that all tests share.

Loaded by tests/support/plugin.py and no conftest, since ``lab/`` has them too.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest
import redis

from tests.support import verbs
from tests.support.nursery import NURSERIES
from tests.support.plugin import surroundings_of_run
from tests.support.tuning import PATIENT, Tuning, forget_everything
from tests.support.verbs import Interpose
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
def pytest_runtest_teardown() -> Generator[None, Any, Any]:
    result = yield
    Interpose.take_back()
    return result


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
def tuning() -> Iterator[Tuning]:
    """Sets the package's times and sizes for a test, which begins as in a new process that has much patience."""
    from django.utils import translation

    forget_everything()
    translation.deactivate()  # the language of an earlier test's last request
    verbs.use_broker(None)
    with Tuning() as tuning:
        tuning.set(**PATIENT)
        yield tuning


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
def interpose(monkeypatch: pytest.MonkeyPatch) -> Interpose:
    """Puts something into the place of a verb, by its name in ``tests.support.verbs``."""
    return Interpose(monkeypatch)


@pytest.fixture
def alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """No transaction is open on the server but the test's own, whose rows are there for whoever sums up the log."""
    monkeypatch.setattr(type(verbs.store()), "log_horizon", lambda _: verbs.LogHorizon(1, 1))


@pytest.fixture
def nothing_declared(tuning: Tuning) -> Callable[[], None]:
    """Let code declare no job type; called, let go what was declared meanwhile."""

    def forget() -> None:
        tuning.set(declarations={})

    forget()
    return forget


@pytest.fixture
def processes(
    request: pytest.FixtureRequest, transactional_db: None, redis_client: redis.Redis, tmp_path: Path
) -> Iterator[ProcessPool]:
    """Starts ``manage.py`` commands; what a test leaves running ends before the database is emptied."""
    pool = request.node.stash[process_pool] = ProcessPool(tmp_path)
    yield pool
    pool.clean_up()


@pytest.fixture
def broker() -> Iterator[MemoryBroker]:
    """A broker in memory in the place of Redis."""
    from tests.support.brokers import MemoryBroker

    memory = MemoryBroker()
    verbs.use_broker(memory)
    yield memory
    verbs.use_broker(None)
