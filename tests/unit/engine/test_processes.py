"""Which processes are gone for certain."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from django_jobs.engine.dispatch import window
from tests.support import verbs
from tests.support.tuning import Tuning
from tests.support.waiting import wait_until

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="elsewhere nobody knows")


@pytest.fixture
def other() -> Iterator[subprocess.Popen[bytes]]:
    """Another process, which waits."""
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        yield process
        process.kill()


def test_a_process_that_lives_is_not_gone_frozen_or_not(other: subprocess.Popen[bytes]) -> None:
    described = verbs.describe_process(other.pid)
    assert not window.are_processes_gone(described)
    other.send_signal(signal.SIGSTOP)
    assert not window.are_processes_gone(described)


def test_a_process_that_was_killed_is_gone_before_and_after_its_parent_asks_for_it(
    other: subprocess.Popen[bytes],
) -> None:
    described = verbs.describe_process(other.pid)
    other.kill()
    wait_until(lambda: window.are_processes_gone(described), 10, "the end of the process")
    other.wait()
    assert window.are_processes_gone(described)


def test_a_later_process_with_the_same_number_is_another_one() -> None:
    assert window.are_processes_gone(f"{os.getpid()}@1")


def test_the_name_of_a_process_may_be_any_bytes() -> None:
    comm = Path("/proc/self/comm")
    before = comm.read_bytes().strip()
    try:
        comm.write_bytes(b"caf\xc3) Z")  # the kernel cuts names within characters, too
        assert not window.are_processes_gone(verbs.describe_process(os.getpid()))
    finally:
        comm.write_bytes(before)


def test_of_several_processes_none_may_live(other: subprocess.Popen[bytes]) -> None:
    described = verbs.describe_process(other.pid, os.getpid())
    other.kill()
    other.wait()
    assert not window.are_processes_gone(described)


def test_what_cannot_be_seen_is_not_called_gone(tuning: Tuning, tmp_path: Path) -> None:
    described = verbs.describe_process(os.getpid())
    tuning.set(processes_directory=tmp_path)  # as where the processes of other users are hidden
    assert not window.are_processes_gone(described)
    assert (verbs.describe_process(os.getpid()), verbs.place_of_process(), window.are_processes_gone("")) == (
        "",
        "",
        False,
    )


def test_a_process_that_may_not_be_asked_is_not_called_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_pid: int, _signal: int) -> None:
        raise PermissionError

    described = verbs.describe_process(os.getpid())
    monkeypatch.setattr(os, "kill", refuse)
    assert not window.are_processes_gone(described)


def test_processes_of_one_container_and_boot_are_in_one_place() -> None:
    boot, *spaces = verbs.place_of_process().split()
    assert (len(boot), [space.partition(":")[0] for space in spaces]) == (36, ["pid", "time"])
