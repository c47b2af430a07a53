"""What the tests of django-rq's pages share: who asks, for which pages, and what a bomb in an entry leaves behind."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
from django.contrib.auth.models import User
from django.test import Client

from tests.support.factories import make_organization, make_user


@pytest.fixture(autouse=True)
def _closed_clients(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Close the connections to Redis that a test made.

    A worker refers to itself, and an error that django-rq's pages swallow to the page's client. What is collected as
    such garbage may have its sockets collected first, which warns amid another test.
    """
    made: list[redis.ConnectionPool] = []
    init = redis.ConnectionPool.__init__

    def noted(pool: redis.ConnectionPool, *args: Any, **kwargs: Any) -> None:
        init(pool, *args, **kwargs)
        made.append(pool)

    monkeypatch.setattr(redis.ConnectionPool, "__init__", noted)
    yield
    for pool in made:
        pool.disconnect(inuse_connections=False)  # a thread that listens closes its own


@pytest.fixture
def trace(tmp_path: Path) -> Iterator[Path]:
    """What a bomb leaves behind; and the mark of a callback that was called."""
    called = Path(os.environ["DJANGO_JOBS_TEST_DIR"], "called")
    called.unlink(missing_ok=True)
    yield tmp_path / "exploded"
    assert not called.exists()
    assert not (tmp_path / "exploded").exists()


@pytest.fixture
def boss(client: Client) -> Client:
    client.force_login(make_user(is_staff=True, permissions=["django_jobs.manage_all_jobs"]))
    return client


@pytest.fixture
def clerk() -> User:
    """Staff, an organization's admin, and with every right that django-rq knows; no system admin."""
    return make_user(is_staff=True, admin_of=[make_organization()], permissions=["django_rq.admin"])
