"""How much memory a worker's process has."""

from __future__ import annotations

from pathlib import Path

import pytest

from django_jobs.worker import memory
from tests.support.waiting import wait_until


def test_what_is_held_counts() -> None:
    before = memory.megabytes()
    held = bytearray(50 * memory.MEGABYTE)
    held[::4096] = b"x" * len(held[::4096])  # each page is touched

    assert before > 1
    # The system counts late: it sums up a moment afterwards what each processor has noted.
    wait_until(lambda: memory.megabytes() - before == pytest.approx(50, abs=10), 10, "50 MB more")


def test_where_the_system_does_not_tell_it_is_the_most_that_was_held(monkeypatch: pytest.MonkeyPatch) -> None:
    now = memory.megabytes()
    monkeypatch.setattr(memory, "_STATM", Path("/nowhere"))

    assert memory.megabytes() > now * 0.9
