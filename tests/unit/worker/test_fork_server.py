"""The process that forks children for a supervisor that has threads by then."""

from __future__ import annotations

import sys

import pytest

from tests.support.interpreters import printed_by

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="nothing is forked elsewhere")

#: In a process of its own: the process of the tests has threads, and a copy of it would go on with the tests.
PROLOGUE = """
import errno, gc, os, signal, sys, threading, time
from pathlib import Path
from django_jobs.worker import processes as fork_server
from django_jobs.worker.processes import ForkServer

def ended(process):
    while process.poll() is None:
        time.sleep(0.01)
    return process.returncode

def comm(pid):
    return Path(f"/proc/{pid}/comm").read_text().strip()

def tell(arguments, descriptors):
    for descriptor in descriptors:
        os.write(descriptor, repr((arguments, os.getppid())).encode())
    os._exit(3)

def wait(arguments, descriptors):
    for _ in range(6000):  # Python may note a signal just before a call of the system, and raises it after that
        time.sleep(0.01)
    os._exit(0)

def take_threads():
    threading.Thread(target=time.sleep, args=[60], daemon=True).start()
"""


def told_by(code: str) -> str:
    """What a fresh interpreter prints that runs this code behind the prologue."""
    return printed_by(PROLOGUE + code + "\nsys.stdout.flush()\nos._exit(0)")


def test_a_supervisor_with_threads_gets_a_child_of_its_own() -> None:
    code = """
server = ForkServer(tell)
take_threads()
reading, writing = os.pipe()
child = server.fork(["name", 7], [writing])
os.close(writing)
print(os.read(reading, 1000).decode() == repr((["name", 7], os.getpid())), ended(child))
print(ended(server.fork([], [])))
"""
    assert told_by(code).split() == ["True", "3", "3"]


def test_a_child_obeys_signals_and_has_its_own_name_and_the_server_ignores_a_stop() -> None:
    code = """
server = ForkServer(wait)
before = comm(os.getpid())
for number in (signal.SIGTERM, signal.SIGINT):
    os.kill(server._process.pid, number)
    child = server.fork([], [])
    while comm(child.pid) == fork_server.NAME.decode():  # it has not gone on yet
        time.sleep(0.01)
    same = comm(child.pid) == before
    time.sleep(0.1)
    child.send_signal(number)
    print(same, ended(child))
print(comm(server._process.pid))
"""
    assert told_by(code).split() == ["True", "-15", "True", "1", "jobs-forkserver"]


def test_a_stop_right_after_the_start_of_a_child_is_not_lost() -> None:
    code = """
server = ForkServer(wait)
for number in (signal.SIGTERM, signal.SIGINT):
    child = server.fork([], [])
    child.send_signal(number)
    print(ended(child) != 0)
"""
    assert told_by(code).split() == ["True", "True"]


@pytest.mark.parametrize("action", ["signal.SIG_IGN", "lambda *_: os.waitpid(-1, os.WNOHANG)"])
def test_a_host_that_takes_ends_of_processes_away_takes_none_from_it(action: str) -> None:
    code = f"""
signal.signal(signal.SIGCHLD, {action})
server = ForkServer(lambda *_: os._exit(0 if signal.getsignal(signal.SIGCHLD) != signal.SIG_DFL else 7))
for _ in range(2):
    server.fork([], [])
    time.sleep(0.1)
print(server.is_lost)
"""
    assert told_by(code) == "False"


def test_a_server_whose_children_are_not_adopted_is_lost() -> None:
    """Else each would seem to have ended at once, and another one be started."""
    code = """
server = ForkServer(tell)
fork_server._prctl = lambda *_: None
reading, writing = os.pipe()
try:
    server.fork([], [writing])
except OSError as error:
    os.close(writing)
    print(type(error).__name__, server.is_lost, os.read(reading, 10))
"""
    assert told_by(code) == "ChildProcessError True b''"


def test_it_ends_when_its_supervisor_closes_it_and_its_children_go_on() -> None:
    code = """
server = ForkServer(wait)
child, process = server.fork([], []), server._process
server.close()
print(process.returncode, child.poll(), server.is_lost)
child.send_signal(signal.SIGKILL)
"""
    assert told_by(code).split() == ["0", "None", "True"]


@pytest.mark.parametrize("harm", ["SIGKILL", "SIGSTOP"])
def test_one_that_is_killed_or_frozen_is_lost_and_forks_nothing_later(harm: str) -> None:
    code = f"""
server = ForkServer(tell)
server._socket.settimeout(0.3)
process = server._process
os.kill(process.pid, signal.{harm})
reading, writing = os.pipe()
for _ in range(2):
    try:
        server.fork([], [writing])
    except OSError as error:
        print(type(error).__name__, server.is_lost, end=" ")
os.close(writing)
print(os.read(reading, 10), process.poll())
"""
    told = told_by(code)
    assert told.count("True") == 2
    assert told.endswith("b'' -9")


def test_a_child_of_which_its_supervisor_does_not_know_leaves() -> None:
    code = """
server = ForkServer(tell)
reading, writing = os.pipe()
really = os.write
def fail(*_):
    raise InterruptedError
os.write = fail
try:
    server.fork([], [writing])
except InterruptedError:
    os.close(writing)
    print(os.read(reading, 10))  # until nobody can write any more
"""
    assert told_by(code) == "b''"


def test_a_child_whose_descriptors_do_not_all_arrive_is_not_started() -> None:
    code = """
server = ForkServer(tell)
reading, writing = os.pipe()
try:
    server.fork([], [writing] * 20)
except OSError as error:
    print(error.errno == errno.EMFILE)
print(ended(server.fork([], [])))
"""
    assert told_by(code).split() == ["True", "3"]


def test_a_child_collects_its_garbage() -> None:
    code = """
print(ended(ForkServer(lambda *_: os._exit(20 + gc.isenabled())).fork([], [])))
"""
    assert told_by(code) == "21"


def test_where_no_process_is_left_the_error_is_the_systems() -> None:
    code = """
really = os.fork

def fork_no_more():
    raise BlockingIOError(11, "Resource temporarily unavailable")

def fork_once():
    os.fork = fork_no_more
    return really()

os.fork = fork_once
server = ForkServer(tell)
try:
    server.fork([], [])
except OSError as error:
    print(error.errno, server.is_lost)
"""
    assert told_by(code).split() == ["11", "False"]
