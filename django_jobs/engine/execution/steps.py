"""Where an attempt finds and leaves what its job has done: its steps and its checkpoint."""

from __future__ import annotations

import contextlib
import contextvars
import dataclasses
import enum
import functools
import hashlib
import inspect
import json
import logging
import pathlib
import threading
import time
import types
from collections import Counter, defaultdict
from collections.abc import Callable, Coroutine, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeVar

from django.core.serializers.json import DjangoJSONEncoder
from django.db import Error
from django.db.models import Model

from django_jobs.conf import jobs_settings
from django_jobs.engine import timing
from django_jobs.engine.execution import coroutines
from django_jobs.engine.json_storage import NotStorable, encoded, unstorable_part
from django_jobs.engine.store import database
from django_jobs.engine.store.database import store
from django_jobs.engine.store.values import Attempt, NewStep, StoredStep
from django_jobs.exceptions import AttemptLost, InvalidStep, StepOrderChanged
from django_jobs.texts import Text, said, say

if TYPE_CHECKING:
    from django_jobs.engine.claimed_job import Claimed

T = TypeVar("T")

logger = logging.getLogger("django_jobs")

#: Stored steps that a later attempt reads at once.
PAGE: Final = 100


#: Of a checkpoint as JSON.
MAX_BYTES: Final = 65_536
WHAT: Final = "The checkpoint"


def _insisting(function: Callable[[], T]) -> T:
    """Return what the function stored. While the database is away it is tried for as long as a lease can last.

    What is to be stored has happened: without it, the next attempt would do it again. After that time nobody can say
    whether the attempt still owns its job. In a transaction, which is a test's, there is one try.
    """
    deadline, pause = time.monotonic() + float(jobs_settings.LEASE_SECONDS), timing.STEP_RETRY_SECONDS
    while True:
        try:
            return function()
        except Error as error:
            passes = database.is_lost_connection(error) or database.is_lost_race(error)
            if not passes or database.connection().in_atomic_block:
                raise
            if time.monotonic() + pause > deadline:
                raise AttemptLost from error
            logger.warning("event=step_delayed error=%r", error)
            database.mend_connections()
            time.sleep(pause)
            pause = min(2 * pause, timing.LONGEST_STEP_RETRY_SECONDS)


# Steps of a handler: each is done once for the job, and known by its name, its place and its arguments.


#: Of one job.
MAX_STEPS: Final = 10_000
#: Characters of a step's name.
MAX_NAME: Final = 200
#: Characters of a digest that stand behind the name of a step that has no place.
MARK: Final = 12

_NO_KEYWORDS: Final[Mapping[str, Any]] = types.MappingProxyType({})

#: Whose step's function runs in this context.
_inside: contextvars.ContextVar[SavedWork | None] = contextvars.ContextVar("django_jobs_step", default=None)


class Call(NamedTuple):
    """What a handler asked to be done as a step, with its arguments as they were then."""

    name: str
    function: Any
    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]
    #: Of the arguments; the same in every process.
    digest: str
    #: What tells the arguments, and functions of one line, apart in this process.
    objects: str
    captured: str

    def is_same(self, other: Call) -> bool:
        """Return whether the other, of the same name and digest, is this call made again."""
        is_one = _identity(self.function) == _identity(other.function) or self.captured == other.captured
        return is_one and self.objects == other.objects

    def was_changed(self) -> bool:
        """Return whether its arguments are others by now."""
        return _digest(_values(self.args, self.kwargs)) != self.digest


@dataclasses.dataclass(slots=True, eq=False)
class Step:
    """A step that this attempt takes, and how far it is."""

    #: Counted from 1, over all steps.
    position: int
    #: Its name, with its number where that comes again; no other step of the job has it.
    label: str
    call: Call
    #: What is awaited for it in an async handler.
    coroutine: Coroutine[Any, Any, Any] | None = None
    has_begun: bool = False
    has_ended: bool = False
    #: Whether its result is stored, so that it need not be done again.
    is_done: bool = False
    result: Any = None
    #: For how long its function ran in this attempt.
    seconds: float = 0.0

    @property
    def title(self) -> str:
        """What messages call it."""
        return title_of(self.label, self.call.digest)

    def is_under_way(self) -> bool:
        """Return whether its call has not ended. A coroutine that was canceled before it began has."""
        if self.coroutine is not None and inspect.getcoroutinestate(self.coroutine) == inspect.CORO_CLOSED:
            return False
        return not self.has_ended


# What a job's attempts have saved: the rows of its steps and of its checkpoint.


class SavedWork:
    """What the attempts of a job have saved, as one of them knows it. To be made in its handler's thread, as it begins.

    In the handler's own thread and task the order of the calls is the same in every attempt. There a step has a place
    among those of its name. Calls in other threads and tasks come in any order.
    """

    def __init__(self, claimed: Claimed, *, has_earlier: bool) -> None:
        """Make one; ``has_earlier`` tells that an earlier attempt may have saved something."""
        self._attempt = Attempt(claimed.pk, claimed.attempt, claimed.worker_name)
        #: The handler's own thread; None where that makes no difference.
        self.thread: int | None = threading.get_ident()
        #: Open when the handler begins: a test's transactions, which take the place of commits there.
        self._depth = len(database.connection().atomic_blocks)
        self._taking = threading.Lock()
        self._names: Counter[str] = Counter()
        self._labels: set[str] = set()
        #: Whether each step so far has a place.
        self._order_is_known = True
        #: Those that have not returned, by name and digest, in the order of their calls.
        self._open: defaultdict[tuple[str, str], list[Step]] = defaultdict(list)
        #: The thread that is in a step now; None: none is.
        self._thread_in_step: int | None = None
        self._reading = threading.Lock()
        #: What earlier attempts have stored and this one has not asked for, by label.
        self._stored: dict[str, StoredStep] = {}
        #: The labels at the positions that are taken.
        self._positions: dict[int, str] = {}
        #: Up to here stored steps have been read; None: there are no more.
        self._read_to: int | None = 0 if has_earlier else None
        #: The dict that the handler changes; JSON of what of it is saved, None where that is not known.
        self.checkpoint: Any = {}
        self._saved: str | None = "{}"
        self.is_checkpoint_read = not has_earlier

    # The rows; a test's context keeps them in memory.

    def require_commits(self, what: str) -> None:
        """Raise InvalidStep where what is stored now would not be committed at once."""
        connection = database.connection()
        # The handler may have taken the commits of this thread's connection into its own hands.
        commits = connection.connection is None or connection.in_atomic_block or connection.autocommit
        if len(connection.atomic_blocks) > self._depth or not commits:
            text = (
                "%(what)s cannot be stored inside an open transaction: it would be lost if that rolls back, and would "
                "hold the job's row until it ends. Leave the atomic block first, or open it inside the step's function."
            )
            raise InvalidStep(say(text, code="in_transaction", what=what))

    def steps_from(self, position: int) -> list[StoredStep]:
        """Return the first PAGE stored steps of this position and later ones, in their order."""
        from django_jobs.models import JobStep

        rows = JobStep.primary.filter(job_id=self._attempt.pk, position__gte=position).order_by("position")
        return [StoredStep(*row) for row in rows.values_list(*StoredStep._fields)[:PAGE]]

    def store_step(self, step: NewStep) -> Any:
        """Store a step, and return its result as later attempts will read it. Raises AttemptLost."""
        stored = _insisting(lambda: store().insert_step(self._attempt, step))
        if stored is None:
            raise AttemptLost
        return stored.result

    def stored_checkpoint(self) -> dict[str, Any]:
        """Return the checkpoint that was saved last."""
        from django_jobs.models import JobCheckpoint

        found = JobCheckpoint.primary.filter(pk=self._attempt.pk).values_list("data", flat=True).first()
        return found if isinstance(found, dict) else {}

    def store_checkpoint(self, data: str) -> None:
        """Store JSON as the checkpoint. Raises AttemptLost."""
        if not _insisting(lambda: store().save_checkpoint(self._attempt, data)):
            raise AttemptLost

    # The checkpoint: a handler's own note for its next attempt.

    def read_checkpoint(self) -> None:
        """Read what is saved, unless that was done, or the handler has put another dict in its place."""
        if not self.is_checkpoint_read:
            self.checkpoint = self.stored_checkpoint()
            self._saved = self.checkpoint_text()
            self.is_checkpoint_read = True

    def replace_checkpoint(self, value: Any) -> None:
        """Put another dict in its place."""
        self._saved = self._saved if self.is_checkpoint_read else None
        self.checkpoint, self.is_checkpoint_read = value, True

    def checkpoint_text(self) -> str:
        """Return JSON of the dict. Raises InvalidStep where it is none, or cannot be stored."""
        if not isinstance(self.checkpoint, dict):
            text = f"{WHAT} must stay a dict; it is %(type)s now."
            raise InvalidStep(say(text, code="not_a_dict", type=type(self.checkpoint).__name__))
        try:
            return encoded(self.checkpoint, WHAT, MAX_BYTES)[0]
        except NotStorable as error:
            raise InvalidStep(said(error)) from error

    def save_checkpoint(self, text: str | None = None) -> None:
        """Store the dict, or what :meth:`checkpoint_text` returned of it. Raises AttemptLost.

        Raises InvalidStep in a transaction.
        """
        self.require_commits(WHAT)
        if text is None:
            self.read_checkpoint()
            text = self.checkpoint_text()
        self.store_checkpoint(text)
        self._saved = text

    def unsaved_checkpoint(self, job_id: str) -> str | None:
        """Return the JSON to be stored with the end of the attempt; None where nothing changed, or it cannot be."""
        if not self.is_checkpoint_read:
            return None
        try:
            text = self.checkpoint_text()
        except Exception as error:  # noqa: BLE001  (whatever is in the dict, the attempt's end must be stored)
            logger.warning("job_id=%s event=checkpoint_not_saved error=%r", job_id, error)
            return None
        return None if text == self._saved else text

    # The steps.

    @contextlib.contextmanager
    def in_one_thread(self, name: object) -> Iterator[None]:
        """Return a ``with`` block for a whole step. Raises InvalidStep while another thread is in one."""
        own = threading.get_ident()
        with self._taking:
            if self._thread_in_step not in {None, own}:
                raise InvalidStep(
                    say(
                        "Step %(step)r begins while another thread is in a step. "
                        "Call steps in one thread, and let a step's function use threads.",
                        code="two_threads",
                        step=name,
                    )
                )
            outer, self._thread_in_step = self._thread_in_step, own
        try:
            yield
        finally:
            self._thread_in_step = outer

    def take(
        self, name: object, function: object, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] = _NO_KEYWORDS
    ) -> Step:
        """Return the step that is called. Raises InvalidStep where the call can never be right.

        A call that raised, or was canceled, is the same step when a handler makes it again. As another step, the next
        attempt would not find its result, and would do it once more.
        """
        checked = _checked_name(name)
        if not callable(function):
            text = "Step %(step)r needs a function to call; it got %(type)s."
            raise InvalidStep(say(text, code="no_function", step=checked, type=type(function).__name__))
        if _inside.get() is self:
            text = "Step %(step)r stands inside the function of another step. Call it after that one."
            raise InvalidStep(say(text, code="inside_step", step=checked))
        values = _values(args, kwargs)
        objects, captured = _text(values, in_process=True), _text(_captured(function), in_process=True)
        call = Call(checked, function, args, kwargs, _digest(values), objects, captured)
        with self._taking:
            earlier = self._open[checked, call.digest]
            if earlier and earlier[-1].is_under_way():
                raise InvalidStep(_twice_text(checked))
            step = next((step for step in earlier if step.call.is_same(call)), None)
            if step is None:
                step = self._new(call)
            else:
                earlier.remove(step)
                step.call, step.coroutine, step.has_ended = call, None, False
            earlier.append(step)
            return step

    def _new(self, call: Call) -> Step:
        if len(self._labels) >= MAX_STEPS:
            text = f"A job may have {MAX_STEPS:,} steps; %(step)r would be one more. Join some."
            raise InvalidStep(say(text, code="too_many", step=call.name))
        thread = self.thread
        has_place = thread is None or coroutines.in_handler_itself(thread)
        if has_place:
            label = next(label for label in self._places(call.name) if label not in self._labels)
        elif (label := call.name + _mark(call.digest)) in self._labels:
            raise InvalidStep(_twice_text(call.name))
        self._labels.add(label)
        self._order_is_known &= has_place
        return Step(len(self._labels), label, call)

    def _places(self, name: str) -> Iterator[str]:
        """Yield the labels of the next places of a name."""
        while True:
            self._names[name] += 1
            yield name if self._names[name] == 1 else f"{name} #{self._names[name]}"

    @contextlib.contextmanager
    def under_way(self, step: Step) -> Iterator[None]:
        """Return a ``with`` block for a whole step. A call that leaves it by an exception may be made again."""
        outside = _inside.get()
        try:
            yield
        finally:
            step.has_ended = True
            # What was called in a thread goes on when it is canceled, and asgiref takes the thread's values over.
            _inside.set(outside)
        with self._taking, contextlib.suppress(ValueError):
            self._open[step.call.name, step.call.digest].remove(step)

    def look_up(self, step: Step) -> bool:
        """Look for the stored result of a step, which it then has; return whether there is one.

        Without one the step begins. Raises StepOrderChanged.
        """
        self.require_commits(f"Step {step.title!r}")
        with self._reading:
            if not step.is_done and not step.has_begun:
                self._look_for(step)
        if not step.is_done and step.coroutine is not None and step.call.was_changed():
            text = "The arguments of step %(step)r were changed between its call and its beginning."
            raise InvalidStep(say(text, code="arguments_changed", step=step.title))
        return step.is_done

    def _look_for(self, step: Step) -> None:
        while step.label not in self._stored and self._read_to is not None:
            self._read_page(self._read_to + 1)
        stored = self._stored.get(step.label)
        if stored is None:
            self._begin(step)
        elif stored.digest in {"", step.call.digest}:
            step.is_done, step.result = True, self._stored.pop(step.label).result
        else:
            text = f"Step %(step)r of this job had other arguments in an earlier attempt. {_ORDER}"
            raise StepOrderChanged(say(text, code="other_arguments", step=step.title))

    def _read_page(self, first: int) -> None:
        found = self.steps_from(first)
        self._stored |= {step.name: step for step in found}
        self._positions |= {step.position: step.name for step in found}
        self._read_to = found[-1].position if len(found) >= PAGE else None

    def _begin(self, step: Step) -> None:
        """Give a step that is not stored a position of its own. All that is stored has been read by now."""
        other = self._stored.get(self._positions.get(step.position, ""))
        if other is not None and self._order_is_known and not other.name.endswith(_mark(other.digest)):
            text = "Step %(position)d of this job was %(before)r in an earlier attempt, and now it is %(step)r. "
            values = {"position": step.position, "before": other.name, "step": step.title}
            raise StepOrderChanged(say(text + _ORDER, code="other_step", **values))
        while step.position in self._positions:
            step.position += 1
        self._positions[step.position] = step.label
        step.has_begun = True

    @contextlib.contextmanager
    def running(self, step: Step) -> Iterator[None]:
        """Return a ``with`` block for a step's function, which may call no other step. It takes the time."""
        _inside.set(self)
        began = time.monotonic()
        yield
        step.seconds = time.monotonic() - began

    def store(self, step: Step, value: Any) -> Any:
        """Store the value that a step's function returned; return it as every attempt gets it."""
        try:
            text = encoded(value, f"The result of step {step.title!r}", MAX_BYTES)[0]
        except NotStorable as error:
            text = "%(text)s Let it return little, such as the id of what it made."
            raise InvalidStep(say(text, code=error.code, text=said(error), step=step.title)) from error
        new = NewStep(step.position, step.label, text, step.seconds, step.call.digest)
        step.is_done, step.result = True, self.store_step(new)
        return step.result


def refuse_coroutine(step: Step, value: Any) -> None:
    """Raise InvalidStep where a step without ``await`` got a coroutine function, or what one returns."""
    if inspect.iscoroutine(value):
        value.close()
    if inspect.isawaitable(value) or inspect.iscoroutinefunction(value):
        text = "Step %(step)r has a coroutine function. Call it by: await context.astep(…)."
        raise InvalidStep(say(text, code="coroutine", step=step.title))


def title_of(label: str, digest: str) -> str:
    """Return a step's label as people read it: without its digest, by which short arguments can be guessed."""
    return label.removesuffix(_mark(digest))


def _mark(digest: str) -> str:
    return f" [{digest[:MARK]}]"


def _checked_name(name: object) -> str:
    if not isinstance(name, str):
        raise InvalidStep(
            say("A step's name is a text; this one is %(type)s.", code="not_a_text", type=type(name).__name__)
        )
    if not 1 <= len(name) <= MAX_NAME:
        text = "A step's name has 1 to %(most)d characters; this one has %(length)d."
        raise InvalidStep(say(text, code="wrong_length", most=MAX_NAME, length=len(name)))
    if part := unstorable_part(name):
        raise InvalidStep(say("A step's name cannot hold %(part)s.", code="unstorable_text", part=part))
    return name


def _values(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> list[Any]:
    return [len(args), *args, *sorted(kwargs), *(kwargs[name] for name in sorted(kwargs))]


def _digest(values: list[Any]) -> str:
    """Return what equal arguments have in common in all processes; what has no form of its own counts by its type."""
    return hashlib.sha256(_text(values, in_process=False).encode()).hexdigest()[:32]


def _text(values: list[Any], *, in_process: bool) -> str:
    """Return a text that equal values have in common.

    ``in_process`` functions, and what has no form of its own, count by their identity.
    """
    encode = json.JSONEncoder(sort_keys=True, default=functools.partial(_form, in_process=in_process)).encode
    try:
        return encode(values)
    except Exception:  # noqa: BLE001  (keys that cannot be sorted, what contains itself, objects that raise)
        if len(values) == 1:
            return _nameless(values[0], in_process)
        return ",".join(_text([value], in_process=in_process) for value in values)


def _form(value: Any, in_process: bool) -> Any:
    """Return what stands for a value that JSON does not know."""
    match value:
        case Model() if value.pk is not None:
            form: Any = [value._meta.label, value.pk]
        case bytes() | bytearray():
            form = hashlib.sha256(value).hexdigest()
        case set() | frozenset():
            form = sorted(_text([item], in_process=in_process) for item in value)
        case enum.Enum() | pathlib.PurePath():
            form = str(value)
        case _ if dataclasses.is_dataclass(value) and not isinstance(value, type):
            form = {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
        case types.CellType():
            form = value.cell_contents
        case _ if in_process and callable(value):
            form = _identity(value)
        case _ if isinstance(getattr(value, "__qualname__", None), str):  # a client may have all names, as xmlrpc's
            form = f"{value.__module__}.{value.__qualname__}"
        case _:
            try:
                form = DjangoJSONEncoder().default(value)
            except (TypeError, ValueError):
                form = _nameless(value, in_process)
    return form


def _captured(function: Any) -> list[Any]:
    """Return by what a function is told from another one that the same line made."""
    if isinstance(function, functools.partial):
        return [_identity(function.func), function.args, function.keywords]
    if inspect.isfunction(function):
        captured = [function.__defaults__, function.__kwdefaults__, *(function.__closure__ or ())]
        return [id(function.__code__), *captured]
    return [_identity(function)]


def _identity(function: Any) -> list[Any]:
    """Return by what a function is told from others; a method is another object each time it is asked for."""
    owner = getattr(function, "__self__", None) if inspect.isroutine(function) else None
    return [id(function)] if owner is None else [id(owner), function.__name__, id(getattr(function, "__func__", None))]


def _nameless(value: object, in_process: bool) -> str:
    return str(id(value)) if in_process else f"{type(value).__module__}.{type(value).__qualname__}"


_ORDER: Final = (
    "The steps must come in the same order and with the same arguments in every attempt. If a new version of the "
    "handler changed them, let the jobs of the old one end before you deploy it, or give it a job type of its own; "
    "this job can be run again as a new one. Something else that is tried when a step fails belongs inside that step."
)


def _twice_text(name: str) -> Text:
    return say(
        "Step %(step)r has the name and the arguments of another step that runs beside it, or that ran in another "
        "thread or task. Give each a name or arguments of its own, so that a later attempt can tell them apart; and "
        "await what context.astep returns.",
        code="twice",
        step=name,
    )
