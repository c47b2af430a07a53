"""Places at which a function's own ``with``, ``except`` and ``finally`` miss an exception that a signal raises there.

Python looks for signals where a loop jumps back. Since Python 3.12 the compiler leaves such a jump out of the block
around the loop, where the loop's condition stands right before it, or a branch leads to it: it takes it for an
instruction that raises nothing. What a receiver of signals raises there passes the block by, so that a lock stays
locked and a file open. In a ``with`` block, each ``while`` loop with a condition has such a place.
"""

from __future__ import annotations

import dis
from collections.abc import Callable, Iterable
from types import CodeType, FrameType
from typing import Any, Final, TypeVar

Receiver = TypeVar("Receiver", bound=Callable[..., Any])

_JUMPS_BACK: Final = frozenset(number for number in dis.hasjrel if "BACKWARD" in dis.opname[number])
_receivers: Final[set[CodeType]] = set()


def receiver(function: Receiver) -> Receiver:
    """Mark a function that receives signals: what is raised where a second signal interrupts it leaves it."""
    _receivers.add(function.__code__)
    return function


def is_at_one(frame: FrameType) -> bool:
    """Return whether what a signal interrupts stands at a jump that its own blocks leave out."""
    frame = _interrupted(frame)
    if not frame.f_code.co_exceptiontable:
        return False
    code, at = dis.Bytecode(frame.f_code), None
    for instruction in code:
        if instruction.offset > frame.f_lasti:
            break
        at = instruction
    if at is None or at.opcode not in _JUMPS_BACK:
        return False
    return _handler(code, at.offset) != _handler(code, int(at.argval))


def _interrupted(frame: FrameType) -> FrameType:
    """Return the frame that runs no receiver of a signal, into which an exception goes."""
    found = frame
    at: FrameType | None = frame
    while at is not None:
        if at.f_code in _receivers and at.f_back is not None:
            found = at.f_back
        at = at.f_back
    return found


def _handler(code: dis.Bytecode, offset: int) -> int | None:
    """Return where the function goes on after an exception at this place; None: nowhere in itself."""
    entries: Iterable[Any] = getattr(code, "exception_entries", ())  # no promise of Python's
    return next((entry.target for entry in entries if entry.start <= offset < entry.end), None)
