"""What a process that is to be killed leaves of its stacks, and how a job's log tells it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

from django_jobs.engine import timing
from django_jobs.worker import children
from django_jobs.worker.children import StackFile, tracebacks
from tests.support import verbs
from tests.support.tuning import Tuning
from tests.support.verbs import OccupiedSlot, StopRequest
from tests.support.waiting import wait_until

ITEM = OccupiedSlot(slot=0, pk=7, attempt=2, stop_request=StopRequest.NONE, started=0.0, timeout=1, thread=0x7F02)
OTHER = OccupiedSlot(slot=1, pk=8, attempt=1, stop_request=StopRequest.NONE, started=0.0, timeout=1, thread=0x7F03)
RAW = """Thread 0x0000000000007f03 (most recent call first):
  File "b.py", line 2 in other

Thread 0x0000000000007f02 (most recent call first):
  File "a.py", line 1 in stuck

Current thread 0x0000000000007f01 (most recent call first):
  File "main.py", line 3 in main
"""

#: The same at a moment at which the second thread entered a function.
WITHOUT_FRAME = RAW.replace('File "a.py", line 1 in stuck', "<no Python frame>")

#: Holds the interpreter's lock for ever, in C: no Python code runs beside it.
STUCK_IN_C = "print(flush=True); sum(range(10**13))"
FROZEN = "import time; print(flush=True); time.sleep(60)"
CRASHED = "import ctypes; print(flush=True); ctypes.string_at(1)"


@pytest.fixture
def file() -> Iterator[StackFile]:
    made = StackFile()
    yield made
    made.close()


def start(code: str, file: StackFile) -> subprocess.Popen[bytes]:
    command = f"from django_jobs.worker.processes import leave_stacks_in; leave_stacks_in({file.descriptor}); {code}"
    process = subprocess.Popen([sys.executable, "-c", command], pass_fds=[file.descriptor], stdout=subprocess.PIPE)
    assert process.stdout is not None
    process.stdout.readline()
    return process


def test_a_process_that_is_stuck_in_c_leaves_its_stacks_at_once(file: StackFile, tuning: Tuning) -> None:
    tuning.set(stack_answer_seconds=60.0)
    with start(STUCK_IN_C, file) as process:
        file.ask()
        process.send_signal(verbs.STACKS_SIGNAL)
        wait_until(lambda: not file.look([]), 30, "the stacks")
        process.kill()
    assert 'File "<string>", line 1 in <module>' in file.read()


def test_a_frozen_process_is_waited_for_a_moment(file: StackFile, tuning: Tuning) -> None:
    tuning.set(stack_answer_seconds=0.3)
    with start(FROZEN, file) as process:
        process.send_signal(signal.SIGSTOP)
        os.waitid(os.P_PID, process.pid, os.WSTOPPED | os.WNOWAIT)
        file.ask()
        process.send_signal(verbs.STACKS_SIGNAL)
        began = time.monotonic()
        wait_until(lambda: not file.look([ITEM]), 30, "the end of waiting")
        process.kill()
    assert time.monotonic() - began >= timing.STACKS_SECONDS
    assert file.read() == ""


def test_a_process_that_pauses_while_it_writes_has_not_finished(file: StackFile, tuning: Tuning) -> None:
    tuning.set(stack_answer_seconds=60.0)
    first, second = RAW.split("\n\n", 1)
    os.write(file.descriptor, RAW.encode())  # at an earlier question
    file.ask()
    os.write(file.descriptor, first.encode())
    assert file.look([ITEM])
    time.sleep(2 * timing.STACKS_QUIET_SECONDS)
    assert not file.look([OTHER])
    assert file.look([OTHER, ITEM])
    os.write(file.descriptor, f"\n\n{second}".encode())
    wait_until(lambda: not file.look([OTHER, ITEM]), 30, "the rest")


def test_a_process_that_crashes_leaves_its_stacks_unasked(file: StackFile) -> None:
    with start(CRASHED, file) as process:
        assert process.wait() == -signal.SIGSEGV
    assert "Fatal Python error: Segmentation fault" in file.read()
    assert not tracebacks("", [ITEM], "process 1 was killed by SIGSEGV", was_asked=False)


def test_the_handlers_own_thread_comes_first_and_is_named() -> None:
    told = tracebacks(RAW, [ITEM, OTHER], "It did not stop: process 1 was killed", was_asked=True)
    text = told[7, 2]
    assert (text.code, text.values["what"]) == ("stacks", "It did not stop: process 1 was killed")
    parts = ("It did not stop: process 1 was killed", children.OWN_THREAD, "in stuck", "in other", "in main")
    places = [text.index(part) for part in parts]
    assert places == sorted(places)
    assert told[8, 1].index("in other") < told[8, 1].index("in stuck")


def test_a_thread_that_seemed_to_have_no_frame_is_shown_as_it_was_when_it_had_one(subtests: pytest.Subtests) -> None:
    for raw in (WITHOUT_FRAME + RAW, RAW + WITHOUT_FRAME):
        with subtests.test(raw=raw):
            text = tracebacks(raw, [ITEM], "It was killed", was_asked=True)[7, 2]
            own = text.partition(children.OWN_THREAD)[2].partition("\n\n")[0]
            assert "in stuck" in own
            assert text.count("in other") == text.count("in main") == 1
            assert "<no Python frame>" not in text


def test_a_process_is_asked_again_where_a_handlers_thread_seemed_to_have_no_frame_but_not_for_ever(
    file: StackFile, tuning: Tuning
) -> None:
    tuning.set(stack_answer_seconds=60.0)
    assert not file.is_to_be_asked_again([ITEM])
    asked = 0
    while not asked or file.is_to_be_asked_again([OTHER, ITEM]):
        file.ask()
        asked += 1
        assert file.look([OTHER, ITEM])
        os.write(file.descriptor, WITHOUT_FRAME.encode())
        assert file.look([OTHER, ITEM])
        wait_until(lambda: not file.look([OTHER, ITEM]), 30, "it to be quiet")
        assert not file.is_to_be_asked_again([OTHER])
    assert asked == children.MAX_QUESTIONS
    assert "<no Python frame>" in tracebacks(file.read(), [ITEM], "It was killed", was_asked=True)[7, 2]


def test_a_process_that_showed_the_frame_when_asked_again_is_asked_no_more(file: StackFile) -> None:
    for written in (WITHOUT_FRAME, RAW):
        file.ask()
        os.write(file.descriptor, written.encode())
    assert not file.is_to_be_asked_again([ITEM])


def test_what_the_interpreter_says_of_a_crash_stays_on_top() -> None:
    told = tracebacks(f"Fatal Python error: Aborted\n\n{RAW}", [ITEM], "process 1 was killed", was_asked=False)
    assert told[7, 2].index("Aborted") < told[7, 2].index(children.OWN_THREAD)


def test_whatever_came_makes_a_text_of_bounded_size(subtests: pytest.Subtests) -> None:
    cases: list[str] = ["", "rubbish", RAW * 2_000]
    for raw in cases:
        with subtests.test(raw=raw):
            text = tracebacks(raw, [ITEM], "It was killed", was_asked=True)[7, 2]
            assert text.startswith("It was killed.")
            assert len(text) < children.MAX_TEXT + 200
