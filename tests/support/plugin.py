"""Gives the run its own directory, database and Redis before Django's settings are read.

Loaded by ``-p`` in pyproject.toml, because pytest-django reads the settings before any conftest. What it
decides is put into the environment, so that worker processes inherit it and never start a second server. Where
pytest-xdist lets several processes run tests, each has all of its own, and the one that hands out tests has nothing.
"""

from __future__ import annotations

import gc
import os
import shutil
import tempfile
from collections.abc import Generator
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

import pytest

from tests.support.addresses import HOST
from tests.support.valkey import EmbeddedValkey

if TYPE_CHECKING:
    from tests.support.pgbouncer import PgBouncer

#: The logical database of a given Redis that the suite empties; in 0 people keep what they want to keep.
TEST_REDIS_DB = 9
#: Where it is set, a PgBouncer that pools transactions stands before the server of DATABASE_URL, a PostgreSQL.
BEHIND_PGBOUNCER: Final = "BEHIND_PGBOUNCER"
#: The name of the process among those of pytest-xdist, such as ``gw1``.
XDIST_WORKER: Final = "PYTEST_XDIST_WORKER"


class Surroundings:
    """What the run started, and the environment as it was before."""

    def __init__(self) -> None:
        self.environ = dict(os.environ)
        self.directory = Path(tempfile.mkdtemp(prefix="django-jobs-tests-"))
        self.valkey: EmbeddedValkey | None = None
        self.bouncer: PgBouncer | None = None

    def set_up(self) -> None:
        """Set up what the tests of this process need."""
        os.environ["DJANGO_JOBS_TEST_DIR"] = str(self.directory)
        os.environ["DATABASE_URL"] = os.environ.get("DATABASE_URL") or f"sqlite:///{self.directory}/db.sqlite3"
        if os.environ.get(BEHIND_PGBOUNCER):
            os.environ["DATABASE_URL"] = self.start_bouncer(os.environ["DATABASE_URL"])
        os.environ["REDIS_URL"] = own_database(os.environ.get("REDIS_URL") or self.start_valkey())

    def start_valkey(self) -> str:
        self.valkey = EmbeddedValkey(self.directory / "valkey")
        return self.valkey.url

    def start_bouncer(self, url: str) -> str:
        """Start a PgBouncer before the server of a ``DATABASE_URL``, and return the URL of the same database there."""
        from tests.support.pgbouncer import PgBouncer

        parts = urlsplit(url)
        if not parts.scheme.startswith("postgres"):
            raise pytest.UsageError(f"{BEHIND_PGBOUNCER} wants a DATABASE_URL of PostgreSQL, not {url!r}.")
        self.bouncer = PgBouncer()
        self.bouncer.start(SimpleNamespace(host=parts.hostname, port=parts.port or 5432))
        return parts._replace(netloc=f"{parts.username}@{HOST}:{self.bouncer.port}").geturl()

    def tear_down(self) -> None:
        if self.bouncer is not None:
            self.bouncer.close()
        if self.valkey is not None:
            self.valkey.stop()
        shutil.rmtree(self.directory, ignore_errors=True)
        os.environ.clear()
        os.environ.update(self.environ)


surroundings_of_run: Final = pytest.StashKey[Surroundings]()


def own_database(url: str) -> str:
    """``url`` on a logical database that this process may empty: the one it names, or one after it, but never 0."""
    parts = urlsplit(url)
    number = int(parts.path.strip("/") or 0) or TEST_REDIS_DB
    number += int(os.environ.get(XDIST_WORKER, "gw0").removeprefix("gw"))
    return parts._replace(path=f"/{number}").geturl()


# A wrapper runs before every plain implementation, hence before pytest-django's, which reads the settings.
@pytest.hookimpl(wrapper=True)
def pytest_load_initial_conftests(early_config: pytest.Config) -> Generator[None, Any, Any]:
    if os.environ.get(XDIST_WORKER) or not early_config.known_args_namespace.numprocesses:
        surroundings = Surroundings()
        early_config.stash[surroundings_of_run] = surroundings
        early_config.add_cleanup(surroundings.tear_down)
        surroundings.set_up()
    return (yield)


def pytest_addoption(parser: pytest.Parser) -> None:
    text = "How the workers of acceptance tests run jobs: one at a time, ten in threads, or ten as coroutines."
    parser.addoption("--slots", choices=["one", "threads", "coroutines"], default="one", help=text)


def pytest_configure(config: pytest.Config) -> None:
    # After pytest-django, so that a test's patches end before its database does.
    config.pluginmanager.import_plugin("tests.support.fixtures")


def pytest_collection_finish() -> None:
    """What was loaded until now stays: thousands of tests, at which no collection of garbage need look again.

    And the collections come seldom: with Python's own thresholds they take a tenth of the run.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)
