"""Whether the children of a supervisor are forked, and what they must not share with it."""

from __future__ import annotations

import logging
from logging.handlers import MemoryHandler
from typing import Any

import pytest
from django.core.cache import caches
from django.db import connections

from django_jobs.worker import child
from tests.support.verbs import Interpose


def test_there_is_none_where_the_system_adopts_no_orphans(
    monkeypatch: pytest.MonkeyPatch, interpose: Interpose, caplog: pytest.LogCaptureFixture
) -> None:
    interpose("may_fork", lambda: True)
    monkeypatch.setattr("ctypes.CDLL", lambda *_, **__: object())  # without prctl
    for every in (connections, caches):
        monkeypatch.setattr(every, "close_all", lambda: None)
    assert child.start_fork_server() is None
    assert "event=fork_server_not_started" in caplog.text


def test_there_is_none_for_a_process_with_threads(interpose: Interpose) -> None:
    interpose("may_fork", lambda: False)
    assert child.start_fork_server() is None


def test_nothing_that_was_opened_is_shared_by_two_processes(
    monkeypatch: pytest.MonkeyPatch, interpose: Interpose
) -> None:
    """A host's log handler may write to a table, and keep lines in memory."""
    seen: list[Any] = []
    kept = MemoryHandler(1000, target=logging.NullHandler())
    interpose("may_fork", lambda: True)
    monkeypatch.setattr(connections, "close_all", lambda: seen.append("lines"))
    monkeypatch.setattr(caches, "close_all", lambda: seen.append("caches"))
    interpose("close_shared_redis", lambda: seen.append("broker"))
    monkeypatch.setattr(child, "ForkServer", lambda _: seen.append(len(kept.buffer)))
    logger = logging.getLogger("django_jobs")
    logger.addHandler(kept)
    try:
        logger.warning("event=before")
        child.start_fork_server()
    finally:
        logger.removeHandler(kept)
    assert seen == ["lines", "caches", "broker", 0]
