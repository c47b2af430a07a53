"""What a child that is forked must not share with its supervisor."""

from __future__ import annotations

import logging
from logging.handlers import MemoryHandler
from types import SimpleNamespace
from typing import Any

import pytest
from django.core.cache import caches
from django.db import connections

from django_jobs.worker import children, process_start
from django_jobs.worker.children import ChildProcess
from tests.support.fake_children import options

pytestmark = pytest.mark.django_db(transaction=True)


def test_no_line_that_was_opened_since_the_start_is_shared_by_two_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    """A host's log handler may write to a table, and the start of each child is logged."""
    closed: list[str] = []
    forked: list[list[str]] = []
    monkeypatch.setattr(process_start, "may_fork", lambda: True)
    monkeypatch.setattr(type(connections["default"]), "close", lambda item: closed.append(item.alias))
    monkeypatch.setattr(type(caches["default"]), "close", lambda _: closed.append("cache"), raising=False)

    def fork(work: Any) -> Any:
        forked.append([*closed])
        closed.clear()
        return SimpleNamespace(pid=1)

    monkeypatch.setattr(children, "ForkedProcess", fork)
    for _ in range(2):
        ChildProcess("host", options()).close()
    assert all({"default", "cache"} <= set(before) for before in forked)
    assert len(forked) == 2


def test_what_a_log_handler_keeps_is_not_written_by_two_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    kept = MemoryHandler(1000, target=logging.NullHandler())
    forked: list[int] = []
    monkeypatch.setattr(process_start, "may_fork", lambda: True)

    def fork(work: Any) -> Any:
        forked.append(len(kept.buffer))
        return SimpleNamespace(pid=1)

    monkeypatch.setattr(children, "ForkedProcess", fork)
    logger = logging.getLogger("django_jobs")
    logger.addHandler(kept)
    try:
        logger.warning("event=before")
        ChildProcess("host", options()).close()
    finally:
        logger.removeHandler(kept)
    assert forked == [0]
