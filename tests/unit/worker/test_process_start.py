"""How a child process is started: as a copy of its supervisor, or as a fresh interpreter."""

from __future__ import annotations

import gc
import os
import sys
import threading
from pathlib import Path

import pytest

from django_jobs.worker import processes
from tests.support import verbs
from tests.support.interpreters import printed_by
from tests.support.tuning import Tuning
from tests.support.waiting import wait_until

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="nothing is forked elsewhere")

#: Forks in a process of its own: the process of the tests has threads, and a copy of it would go on with the tests.
PROLOGUE = """
import os, signal, sys, threading, time
from django_jobs.worker.processes import ForkedProcess, may_fork

def ended(process):
    while process.poll() is None:
        time.sleep(0.01)
    return process.returncode
"""


def told_by(code: str) -> str:
    """What a fresh interpreter prints that runs this code behind the prologue."""
    return printed_by(PROLOGUE + code)


def test_a_process_with_one_thread_may_be_forked_and_one_with_more_not() -> None:
    code = """
before = may_fork()
go_on = threading.Event()
threading.Thread(target=go_on.wait).start()
print(before, may_fork())
go_on.set()
"""
    assert told_by(code) == "True False"


def test_what_ends_a_forked_process_is_told_as_subprocess_tells_it() -> None:
    code = """
killed = ForkedProcess(lambda: time.sleep(60))
print(killed.poll())
killed.send_signal(signal.SIGKILL)
print(ended(killed), ended(ForkedProcess(lambda: os._exit(3))))
killed.send_signal(signal.SIGKILL)  # it is gone: nothing happens
"""
    assert told_by(code).split() == ["None", "-9", "3"]


def test_a_forked_process_never_goes_on_as_its_supervisor() -> None:
    code = """
def fail():
    raise RuntimeError("a mistake")

def come_back():
    pass

print(*(ended(ForkedProcess(work)) for work in (fail, come_back)))
"""
    assert told_by(code) == "1 1"


def test_a_stop_signal_is_not_taken_for_one_to_the_supervisor() -> None:
    """A supervisor counts them; a child that only counts would go on working."""
    code = """
signal.signal(signal.SIGTERM, lambda *_: print("counted"))
process = ForkedProcess(lambda: time.sleep(60))
process.send_signal(signal.SIGTERM)
print(ended(process), signal.pthread_sigmask(signal.SIG_BLOCK, []))
"""
    assert told_by(code) == "-15 set()"


def test_threads_that_look_at_once_are_told_the_same_end() -> None:
    """The supervisor's main thread looks, and the one that renews leases."""
    code = """
really = os.waitpid

def slowly(*arguments):
    answer = really(*arguments)
    time.sleep(0.2)
    return answer

process = ForkedProcess(lambda: os._exit(3))
os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
os.waitpid = slowly
told = []
threads = [threading.Thread(target=lambda: told.append(process.poll())) for _ in range(2)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
print(told)
"""
    assert told_by(code) == "[3, 3]"


def test_an_end_that_the_system_does_not_tell_is_an_end() -> None:
    """Who ignores SIGCHLD passes that on to what it starts."""
    code = """
signal.signal(signal.SIGCHLD, signal.SIG_IGN)
print(ended(ForkedProcess(lambda: os._exit(3))))
"""
    assert told_by(code) == "0"


def test_nothing_is_forked_where_the_system_does_not_show_threads(tuning: Tuning, tmp_path: Path) -> None:
    tuning.set(threads_directory=tmp_path / "not mounted")
    assert not verbs.may_fork()


def test_a_fresh_interpreter_gets_the_arguments_the_descriptors_and_the_supervisor(tmp_path: Path) -> None:
    reading, writing = os.pipe()
    code = "import os, sys\nos.write(int(sys.argv[2]), ' '.join([sys.argv[1], sys.argv[3]]).encode())\n"
    module = "django_jobs_test_fresh"
    (tmp_path / f"{module}.py").write_text(code)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(tmp_path))
        process = processes.start_fresh(module, ["an argument"], [writing])
    wait_until(lambda: process.poll() is not None, 30, "the end of the process")
    os.close(writing)
    with os.fdopen(reading) as pipe:
        assert pipe.read() == f"an argument {os.getpid()}"
    assert process.returncode == 0


def test_a_process_with_threads_is_left_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is frozen there, since nothing will be shared."""
    frozen: list[bool] = []
    monkeypatch.setattr(gc, "freeze", lambda: frozen.append(True))
    go_on = threading.Event()
    thread = threading.Thread(target=go_on.wait)
    thread.start()
    processes.prepare_start()
    go_on.set()
    thread.join()
    assert frozen == []


def test_what_children_would_import_is_loaded_once_before_the_fork() -> None:
    """Whoever imports it after the fork has a copy of its own."""
    code = """
from django_jobs.worker.processes import prepare_start as prepare

def load():
    import colorsys

prepare(load)
print("colorsys" in sys.modules)
"""
    assert told_by(code) == "True"


def test_a_process_drops_what_it_no_longer_needs_before_it_is_shared() -> None:
    """In this order: what was garbage can be given back, and what is frozen is never looked at again."""
    code = """
import gc
from django_jobs.worker import processes

steps = []
gc.collect = lambda: steps.append("collect")
processes.give_back_memory = lambda: steps.append("give back")
gc.freeze = lambda: steps.append("freeze")
processes.prepare_start(lambda: steps.append("load"))
print(*steps, sep=", ")
"""
    assert told_by(code) == "load, collect, give back, freeze"
