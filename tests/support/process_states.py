"""What processes are doing at this moment, for the report of a failed test: states, signals, and Python stacks."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

import psutil

from tests.support import verbs
from tests.support.waiting import wait_until

#: For so long a process may take to write its stacks.
ANSWER_SECONDS: Final = 1.0
#: What tells of a thread: whether it runs, and which signals wait for it, are blocked, ignored and received.
_SHOWN: Final = ("Name", "State", "SigPnd", "ShdPnd", "SigBlk", "SigIgn", "SigCgt")


def describe(processes: Iterable[psutil.Process]) -> str:
    """Each thread's state and signals, and the stacks of children of workers, which alone write them when asked."""
    return "\n".join(_described(process) for process in processes)


def _described(process: psutil.Process) -> str:
    lines = [f"--- process {process.pid}"]
    with contextlib.suppress(OSError):  # it has ended meanwhile, or this system does not show it
        for task in sorted(Path(f"/proc/{process.pid}/task").iterdir()):
            facts = [line.split(None, 1) for line in (task / "status").read_text().splitlines()]
            told = [f"{name}{''.join(value)}" for name, *value in facts if name.rstrip(":") in _SHOWN]
            lines.append(f"{task.name} {' '.join(told)} wchan:{(task / 'wchan').read_text()}")
        lines.append(_stacks_of(process))
    return "\n".join(lines)


def _stacks_of(process: psutil.Process) -> str:
    """What it writes when it is asked; nothing where it is frozen, or would die of the question."""
    status = Path(f"/proc/{process.pid}/status").read_text()
    caught = int(next(line.split()[1] for line in status.splitlines() if line.startswith("SigCgt")), 16)
    if not caught & 1 << (verbs.STACKS_SIGNAL - 1):
        return "It is none that writes its stacks."
    before = "".join(_written_by(process))
    os.kill(process.pid, verbs.STACKS_SIGNAL)
    with contextlib.suppress(AssertionError):
        wait_until(lambda: "".join(_written_by(process)) != before, ANSWER_SECONDS, "its stacks")
    return "".join(_written_by(process)).removeprefix(before) or "It wrote no stacks."


def _written_by(process: psutil.Process) -> Iterator[str]:
    """What lies in its files that have no name, where it is stacks."""
    for link in sorted(Path(f"/proc/{process.pid}/fd").iterdir()):
        with contextlib.suppress(OSError):
            if os.readlink(link).endswith(" (deleted)") and "most recent call first" in (text := _text(link)):  # noqa: PTH115
                yield text


def _text(link: Path) -> str:
    return link.read_text(errors="replace").replace("\0", "")
