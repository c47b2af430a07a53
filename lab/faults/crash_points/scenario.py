"""What a scenario is: a state, something that a process does, and what must be true whatever became of the process."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Final

from lab.faults.crash_points.processes import Ending

#: What the caller may see when an answer was lost.
LOST: Final = frozenset({"Error", "BrokerUnavailable"})


def _nothing(given: Any, ending: Ending) -> tuple[()]:
    return ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """``prepare`` makes the state in the test's process; ``act`` gets what it returned, in the process that is harmed.

    ``check`` looks at the state after the recovery, and yields what is wrong in sentences. ``before_recovery`` is what
    a client does next. Both get what was prepared, and how the process ended.
    """

    name: str
    act: Callable[[Any], Any]
    prepare: Callable[[], Any] = lambda: None
    before_recovery: Callable[[Any, Ending], object] = _nothing
    check: Callable[[Any, Ending], Iterable[str]] = _nothing
    #: Whether Redis has no room, so that what follows a commit ends there; dispatch has scenarios of its own.
    is_full: bool = False
    #: What the next scheduler must do beside the usual.
    duties: tuple[str, ...] = ()
