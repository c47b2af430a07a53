"""How much memory a worker's process has, and that it gives back what it no longer needs."""

from __future__ import annotations

import platform
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from django_jobs.worker import processes
from tests.support.interpreters import printed_by
from tests.support.tuning import Tuning

#: In a process of its own: from one that has been idle for long the system may take pages at the same moment.
HOLD = """
from django_jobs.worker import processes

before = processes.memory_megabytes()
held = bytearray(50 * processes.MEGABYTE)
held[::4096] = b"x" * len(held[::4096])  # each page is touched
print(before, processes.memory_megabytes())
"""


def test_what_is_held_counts() -> None:
    told = subprocess.run([sys.executable, "-c", HOLD], capture_output=True, text=True, check=True).stdout
    before, after = map(float, told.split())

    assert before > 1
    assert after - before == pytest.approx(50, abs=10)


def test_where_the_system_does_not_tell_it_is_the_most_that_was_held(tuning: Tuning) -> None:
    now = processes.memory_megabytes()
    tuning.set(memory_file=Path("/nowhere"))

    assert processes.memory_megabytes() > now * 0.9


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc can be asked")
def test_what_was_freed_between_what_is_held_is_given_back_to_the_system() -> None:
    code = """
from django_jobs.worker import processes

held = [bytes(10_000) for _ in range(5_000)]
last = bytes(10_000)  # what is freed behind the last one goes back by itself
del held
before = processes.memory_megabytes()
processes.give_back_memory()
print(before - processes.memory_megabytes())
"""
    assert float(printed_by(code)) > 20


def _refuse(_: object) -> None:
    raise OSError("Dynamic loading not supported")  # a Python that is linked statically


@pytest.mark.parametrize("library", [lambda _: object(), _refuse])
def test_where_the_c_library_cannot_give_back_nothing_happens(monkeypatch: pytest.MonkeyPatch, library: Any) -> None:
    monkeypatch.setattr("ctypes.CDLL", library)
    processes.give_back_memory()
