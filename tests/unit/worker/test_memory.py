"""How much memory a worker's process has."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from django_jobs.worker import memory

#: In a process of its own: from one that has been idle for long the system may take pages at the same moment.
HOLD = """
from django_jobs.worker import memory

before = memory.megabytes()
held = bytearray(50 * memory.MEGABYTE)
held[::4096] = b"x" * len(held[::4096])  # each page is touched
print(before, memory.megabytes())
"""


def test_what_is_held_counts() -> None:
    told = subprocess.run([sys.executable, "-c", HOLD], capture_output=True, text=True, check=True).stdout
    before, after = map(float, told.split())

    assert before > 1
    assert after - before == pytest.approx(50, abs=10)


def test_where_the_system_does_not_tell_it_is_the_most_that_was_held(monkeypatch: pytest.MonkeyPatch) -> None:
    now = memory.megabytes()
    monkeypatch.setattr(memory, "_STATM", Path("/nowhere"))

    assert memory.megabytes() > now * 0.9
