"""What watches submissions and attempts from within: tracers and error trackers (``django_jobs.contrib``).

An observer is told where a submission or an attempt begins and gives back what is to be called at its end. What it must
bring from the one to the other travels in the job's metadata, under CARRIED. Without an observer all of this takes next
to no time, and no mistake in one reaches a job or its submitter.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Protocol, TypeVar

from django_jobs.engine.claimed_job import Claimed
from django_jobs.engine.json_storage import clean_text
from django_jobs.models import Job

logger = logging.getLogger("django_jobs")

T = TypeVar("T")

#: The key of a job's metadata under which observers leave what the attempt is to find. Handlers do not see it then.
CARRIED: Final = "trace_context"
#: Characters of each text that is carried; the longest that W3C's Trace Context has to be passed on.
MAX_CARRIED: Final = 512


@dataclass(slots=True)
class Submission:
    """One call that submits: the type that was asked for, if that is one, and how many jobs.

    The ``jobs`` are known at its end. A call for many may have jobs of several types.
    """

    job_type: str
    count: int | None = None
    jobs: Sequence[Job] = field(default_factory=tuple)


@dataclass(frozen=True, slots=True)
class Ending:
    """How an attempt ended: a word for it, its text for people, and the exception that ended it, if one did."""

    outcome: str
    text: str = ""
    error: BaseException | None = None


SubmissionEnd = Callable[[BaseException | None], object]
AttemptEnd = Callable[[Ending], object]


class Observer(Protocol):
    """Is told of submissions and attempts. What it raises is logged, and changes nothing."""

    #: Whether it has something carried, so that what stands under CARRIED is no matter of handlers.
    carries: bool

    def submitting(self, submission: Submission) -> SubmissionEnd | None:
        """Hear of a submission, in the thread that submits. Return what to call at its end, with its error or None."""

    def carried(self) -> Mapping[str, str]:
        """Return what the attempts of a job that is submitted now are to find in its metadata."""

    def begin(self, claimed: Claimed) -> AttemptEnd | None:
        """Hear of an attempt right before its handler begins. Return what to call once it is known how it ended.

        This is called in the handler's own context (``contextvars``), a copy that ends with the handler: what is set
        there is seen by the handler and what it starts, and need not be undone. The end may be told in another one.
        """

    def drain(self, timeout: float) -> None:
        """Send what waits, for at most ``timeout`` seconds, before the process ends."""


_observers: list[Observer] = []


def add(observer: Observer) -> None:
    """Tell this observer of everything from now on."""
    if observer not in _observers:
        _observers.append(observer)


def remove(observer: Observer) -> None:
    """Tell this observer nothing more."""
    if observer in _observers:
        _observers.remove(observer)


def all_of_them() -> Sequence[Observer]:
    """Return who is told."""
    return tuple(_observers)


def submission(job_type: object, count: int | None = None) -> contextlib.AbstractContextManager[Submission]:
    """Return a block in which something is submitted; whoever submits notes the jobs in what it yields.

    ``job_type`` is what the caller gave; ``count`` how many jobs a call for many asks for.
    """
    observed = Submission(_name_of(job_type) if _observers else "", count)
    return _observed(observed) if _observers else contextlib.nullcontext(observed)


def _name_of(job_type: object) -> str:
    name = getattr(job_type, "pk", job_type)
    return name[:100] if isinstance(name, str) else ""


@contextlib.contextmanager
def _observed(found: Submission) -> Iterator[Submission]:
    ends = [end for observer in _observers if (end := _guarded(observer.submitting, found)) is not None]
    try:
        yield found
    except BaseException as error:
        _tell(ends, error)
        raise
    _tell(ends, None)


def carried() -> dict[str, str]:
    """Return what the jobs that are submitted now are to carry."""
    carried_texts = [_guarded(_carried_of, observer) or {} for observer in _observers]
    return {name: text for texts in carried_texts for name, text in texts.items()}


def _carried_of(observer: Observer) -> dict[str, str]:
    """Return what of an observer's is carried: texts that are not too long, and that every database can store."""
    texts = {clean_text(name): clean_text(text) for name, text in observer.carried().items()}
    return {name: text for name, text in texts.items() if max(len(name), len(text)) <= MAX_CARRIED}


def carried_by(metadata: Any) -> dict[str, str]:
    """Return what a job carries. Whoever submits may write anything there: only texts are taken."""
    carried_texts = metadata.get(CARRIED) if isinstance(metadata, dict) else None
    return (
        {name: text for name, text in carried_texts.items() if isinstance(text, str)}
        if isinstance(carried_texts, dict)
        else {}
    )


def without_carried(metadata: Any) -> Any:
    """Return a job's metadata as they were submitted."""
    if not isinstance(metadata, dict) or CARRIED not in metadata:
        return metadata
    return {name: value for name, value in metadata.items() if name != CARRIED}


def seen_by_handlers(metadata: Any) -> Any:
    """Return a job's metadata as its handler sees them: where no observer carries anything, the key is the host's."""
    return without_carried(metadata) if any(observer.carries for observer in _observers) else metadata


def begin(claimed: Claimed) -> None:
    """Tell that the handler of this attempt is about to begin, in the handler's context."""
    if _observers:
        ends = [end for observer in _observers if (end := _guarded(observer.begin, claimed)) is not None]
        claimed.observed = tuple(reversed(ends))


def end(claimed: Claimed, ending: Ending) -> None:
    """Tell, once, how an attempt ended whose beginning was told."""
    ends, claimed.observed = claimed.observed, ()
    _tell(ends, ending)


def drain(timeout: float = 3.0) -> None:
    """Have all observers send what waits, for at most ``timeout`` seconds each, before the process ends."""
    for observer in _observers:
        _guarded(observer.drain, timeout)


def _tell(ends: Sequence[Callable[[Any], object]], what: Any) -> None:
    for told in ends:
        _guarded(told, what)


def _guarded(function: Callable[..., T], *arguments: Any) -> T | None:
    try:
        return function(*arguments)
    except Exception as error:
        logger.warning("event=observer_failed error=%r", error, exc_info=error)
        return None
