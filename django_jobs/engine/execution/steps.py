"""Steps of a handler: each is done once for the job, and known by its place among them."""

from __future__ import annotations

import contextlib
import contextvars
import inspect
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final, NamedTuple

from django_jobs.engine.execution.work_notes import PAGE, Notes
from django_jobs.engine.json_storage import NotStorable, encoded, unstorable_part
from django_jobs.engine.store.step_values import NewStep, StoredStep
from django_jobs.exceptions import InvalidStep, StepOrderChanged

#: Of one job.
MAX_STEPS: Final = 10_000
#: Characters of a step's name.
MAX_NAME: Final = 200
#: Of a step's result as JSON.
MAX_BYTES: Final = 65_536

_NO_KEYWORDS: Final[Mapping[str, Any]] = MappingProxyType({})

#: Whose step's function runs in this context.
_inside: contextvars.ContextVar[Steps | None] = contextvars.ContextVar("django_jobs_step", default=None)


class Place(NamedTuple):
    """Where a step stands: its position, counted from 1, and its name, with a number where that comes again."""

    position: int
    name: str


@dataclass(frozen=True, slots=True)
class Done:
    """A step that need not be done again."""

    result: Any


class Call(NamedTuple):
    """What a handler asked to be done as a step."""

    name: str
    function: Any
    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]

    def is_same(self, other: Call) -> bool:
        """Return whether the other is the same call made again."""
        try:
            return bool(self == other)
        except Exception:  # noqa: BLE001  (values that refuse to be compared, such as arrays)
            return False


class Steps:
    """The steps of one attempt. The order of their calls is the order of the steps."""

    def __init__(self, notes: Notes) -> None:
        self._notes = notes
        self._taking = threading.Lock()
        self._names: Counter[str] = Counter()
        self._taken = 0
        #: The last call that took a place, and whether it raised.
        self._last: tuple[Place, Call] | None = None
        self._has_raised = False
        #: The thread that is in a step now; None: none is.
        self._thread: int | None = None
        self._reading = threading.Lock()
        self._stored: dict[int, StoredStep] = {}
        #: Up to here stored steps have been read; None: there are no more.
        self._read_to: int | None = 0 if notes.may_have_more else None

    @contextlib.contextmanager
    def in_one_thread(self, name: object) -> Iterator[None]:
        """Return a ``with`` block for a whole step. Raises InvalidStep while another thread is in one.

        Two threads would take their places in another order in each attempt, and so get each other's results.
        """
        own = threading.get_ident()
        with self._taking:
            if self._thread not in {None, own}:
                raise InvalidStep(
                    f"Step {name!r} begins while another thread is in a step. Steps are known by the order of their "
                    "calls: call them in one thread, and let a step's function use threads."
                )
            outer, self._thread = self._thread, own
        try:
            yield
        finally:
            self._thread = outer

    def take(
        self, name: object, function: object, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] = _NO_KEYWORDS
    ) -> Place:
        """Return the place of the next step. Raises InvalidStep where the call can never be right.

        The call that raised just now keeps its place when it is made again, as by a handler that tries a step three
        times: in a place behind it, the next attempt would not find its result and do it once more.
        """
        checked = _checked_name(name)
        if not callable(function):
            raise InvalidStep(f"Step {checked!r} needs a function to call; it got {type(function).__name__}.")
        if _inside.get() is self:
            raise InvalidStep(f"Step {checked!r} stands inside the function of another step. Call it after that one.")
        call = Call(checked, function, args, kwargs)
        with self._taking:
            if self._has_raised and self._last is not None and self._last[1].is_same(call):
                self._has_raised = False
                return self._last[0]
            if self._taken >= MAX_STEPS:
                raise InvalidStep(f"A job may have {MAX_STEPS:,} steps; {checked!r} would be one more. Join some.")
            self._taken += 1
            self._names[checked] += 1
            number = self._names[checked]
            place = Place(self._taken, checked if number == 1 else f"{checked} #{number}")
            self._last, self._has_raised = (place, call), False
            return place

    def done(self, place: Place) -> Done | None:
        """Return the result of an earlier attempt; None where the step is still to be done."""
        self._notes.require_commits(f"Step {place.name!r}")
        with self._reading:
            while self._read_to is not None and place.position > self._read_to:
                self._read_page(self._read_to + 1)
            stored = self._stored.pop(place.position, None)
        if stored is None:
            return None
        if stored.name != place.name:
            raise StepOrderChanged(_order_text(place, stored.name))
        return Done(stored.result)

    def _read_page(self, first: int) -> None:
        found = self._notes.steps_from(first)
        self._stored |= {step.position: step for step in found}
        self._read_to = found[-1].position if len(found) >= PAGE else None

    @contextlib.contextmanager
    def running(self, place: Place) -> Iterator[Stopwatch]:
        """Return a ``with`` block for a step's function, which may call no other step."""
        token = _inside.set(self)
        watch = Stopwatch()
        try:
            yield watch
        except Exception:
            with self._taking:
                self._has_raised = self._last is not None and self._last[0] == place
            raise
        finally:
            watch.stop()
            _inside.reset(token)

    def store(self, place: Place, value: Any, seconds: float) -> Any:
        """Store the value that a step's function returned; return it as every attempt gets it."""
        try:
            text = encoded(value, f"The result of step {place.name!r}", MAX_BYTES)[0]
        except NotStorable as error:
            raise InvalidStep(f"{error} Let it return little, such as the id of what it made.") from error
        return self._notes.store_step(NewStep(place.position, place.name, text, seconds))


class Stopwatch:
    """How long a step's function ran."""

    def __init__(self) -> None:
        self._began = time.monotonic()
        self.seconds = 0.0

    def stop(self) -> None:
        """Note the time."""
        self.seconds = time.monotonic() - self._began


def refuse_coroutine(place: Place, value: Any) -> None:
    """Raise InvalidStep where a step without ``await`` got a coroutine function, or what one returns."""
    if inspect.iscoroutine(value):
        value.close()
    if inspect.isawaitable(value) or inspect.iscoroutinefunction(value):
        raise InvalidStep(f"Step {place.name!r} has a coroutine function. Call it by: await context.astep(…).")


def _checked_name(name: object) -> str:
    if not isinstance(name, str):
        raise InvalidStep(f"A step's name is a text; this one is {type(name).__name__}.")
    if not 1 <= len(name) <= MAX_NAME:
        raise InvalidStep(f"A step's name has 1 to {MAX_NAME} characters; this one has {len(name)}.")
    if part := unstorable_part(name):
        raise InvalidStep(f"A step's name cannot hold {part}.")
    return name


def _order_text(place: Place, stored: str) -> str:
    return (
        f"Step {place.position} of this job was {stored!r} in an earlier attempt, and now it is {place.name!r}. The "
        "steps must come in the same order in every attempt. If a new version of the handler changed the order, let "
        "the jobs of the old one end before you deploy it, or give it a job type of its own; this job can be run again "
        "as a new one. Something else that is tried when a step fails belongs inside that one step."
    )
