"""How an attempt can end, and what an error means: whether another try is worth it, and what tenants read of it."""

from __future__ import annotations

import email.utils
import math
import re
import sys
import sysconfig
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from types import CodeType
from typing import Any, ClassVar, Final, NamedTuple

from django.core.exceptions import ObjectDoesNotExist, ValidationError
from django.core.exceptions import PermissionDenied as DjangoPermissionDenied
from django.http import Http404

from django_jobs.conf import jobs_settings
from django_jobs.engine import timing
from django_jobs.engine.claimed_job import Claimed
from django_jobs.engine.execution.handler_logs import KeptLines
from django_jobs.engine.json_storage import clean_text
from django_jobs.exceptions import BrokerUnavailable, JobsError, RetryableRefusal, TransientError

# How an attempt can end, as values, before anything is written.


@dataclass(slots=True, kw_only=True)
class Outcome:
    """Base: which attempt ended and how long its handler ran, in seconds."""

    #: What observers are told of such an end.
    word: ClassVar[str]

    claimed: Claimed
    text: str = ""
    seconds: float = 0.0
    #: ``time.monotonic()`` at the handler's start.
    started: float = 0.0
    #: The handler's last report, percent and message, where that was not written yet.
    unwritten: tuple[int, str | None] | None = None
    #: Whether the handler ended without having saved a file; False also where that is not known.
    saved_nothing: bool = False
    #: JSON of the handler's checkpoint, to be saved with the end; None where there is nothing new.
    checkpoint: str | None = None
    #: The exception that ended it, kept until the end is stored; None where there was none.
    error: BaseException | None = field(default=None, compare=False, repr=False)

    #: What the handler wrote to the log; None where that is not kept, or nothing.
    log: KeptLines | None = field(default=None, compare=False, repr=False)

    @property
    def fileless_attempts(self) -> int:
        """Return how many first attempts of the job, this one included, are known to have saved no file.

        An attempt that ends in any other way than this one, as with its process, is not known to have saved none, and
        so no later one counts either.
        """
        claimed = self.claimed
        counts = self.saved_nothing and claimed.row.fileless_attempts == claimed.attempt - 1
        return claimed.attempt if counts else claimed.row.fileless_attempts


@dataclass(slots=True, kw_only=True)
class Returned(Outcome):
    """The handler returned; ``result`` is storable JSON or None."""

    word = "completed"
    result: Any = None
    output_reference: str = ""


@dataclass(slots=True, kw_only=True)
class Raised(Outcome):
    """The handler failed. ``kind`` is Transient or Permanent; ``retry_after`` overrules the back-off."""

    word = "failed"
    kind: str
    traceback: str = ""
    retry_after: float | None = None
    #: Of an unexpected error: where in the host's code it was raised.
    place: str = ""


@dataclass(slots=True, kw_only=True)
class TimedOut(Outcome):
    """The handler was stopped because it ran too long."""

    word = "timed_out"
    text: str = "It ran too long"
    traceback: str = ""


@dataclass(slots=True, kw_only=True)
class Canceled(Outcome):
    """The handler stopped because it was told to."""

    word = "canceled"


@dataclass(slots=True, kw_only=True)
class Postponed(Outcome):
    """The handler asked for another run after ``delay`` seconds."""

    word = "postponed"
    delay: float


@dataclass(slots=True, kw_only=True)
class Interrupted(Outcome):
    """A shutdown, or the kill of another job's process, ended the attempt; its job is requeued."""

    word = "interrupted"


class NotBegun(Interrupted):
    """The handler did not begin. No handler ran for no time: that would count as a quick one."""


# Where in the host's code an unexpected exception came from, so that two faults with one text are told apart.
#
# A place is a module and a function: both stay when lines move and when the code is deployed to another directory.


_ENGINE: Final = "django_jobs"
_INSTALLED: Final = re.compile(r"[\\/](?:site|dist)-packages[\\/]")
_STANDARD: Final = tuple({sysconfig.get_path(name) for name in ("stdlib", "platstdlib")})
#: In names that were made while the program ran.
_NUMBER: Final = re.compile(r"\d{5,}|0x[0-9a-f]+", re.IGNORECASE)


def place_of(error: BaseException) -> str:
    """Return module and function of the deepest frame that is the host's own code; "" where there is no frame.

    The host's own is what is not installed as a library, and the handler's package wherever that lies. Where there is
    none of these, the deepest frame counts.
    """
    walked = traceback.walk_tb(error.__traceback__)
    frames = [(str(frame.f_globals.get("__name__", "")), frame.f_code) for frame, _ in walked]
    if not frames:
        return ""
    candidates = [(module, code) for module, code in frames if not _is_foreign(module, code)]
    # The first one is the handler: a host may be installed as a package, like its libraries.
    package = _package(candidates[0][0]) if candidates else ""
    own = [item for item in candidates if not _is_installed(item[1]) or _package(item[0]) == package]
    module, code = (own or candidates or frames)[-1]
    return _NUMBER.sub("<n>", f"{module}.{code.co_qualname}")


def _is_foreign(module: str, code: CodeType) -> bool:
    """Return whether it is of Python's standard library, or of the engine."""
    is_standard = code.co_filename.startswith((*_STANDARD, "<frozen ")) and not _is_installed(code)
    return is_standard or _package(module) == _ENGINE


def _is_installed(code: CodeType) -> bool:
    return _INSTALLED.search(code.co_filename) is not None


def _package(module: str) -> str:
    return module.partition(".")[0]


# What an error means: whether another try is worth it, when, and what a tenant may read. No database is used.


TRANSIENT: Final = "Transient"
PERMANENT: Final = "Permanent"
RETRYABLE_HTTP: Final = frozenset({408, 429, 500, 502, 503, 504})
CLIENT_ERROR: Final = 4
#: Characters of an error's text.
MAX_TEXT: Final = 4000


class Verdict(NamedTuple):
    """What an error means. ``kind`` is Transient or Permanent; ``retry_after`` the seconds that the error asks for."""

    kind: str
    retry_after: float | None = None


def classify(error: BaseException) -> Verdict:
    """Return what this error means for its job: by its class, or by the HTTP status that it carries."""
    if isinstance(error, RetryableRefusal):
        return Verdict(TRANSIENT, _bounded(error.retry_after, timing.LONGEST_BACK_OFF_SECONDS))
    if isinstance(error, TransientError | BrokerUnavailable):
        return Verdict(TRANSIENT)
    if isinstance(error, JobsError | ValidationError | DjangoPermissionDenied | ObjectDoesNotExist | Http404):
        return Verdict(PERMANENT)
    status, headers = _http_answer(error)
    if _is_of_rest_framework(error, "APIException") and (status or 0) // 100 == CLIENT_ERROR:
        return Verdict(PERMANENT)
    return Verdict(TRANSIENT, _retry_after(headers) if status in RETRYABLE_HTTP else None)


def readable(error: BaseException, mask: Callable[[str], str] = str) -> str:
    """Return the text that tenants may read: one meant for them, else the class name, since texts may quote secrets.

    It is masked before it is cut: a part of a secret is none that the mask finds.
    """
    try:
        return clean_text(mask(_readable(error)), MAX_TEXT)
    except Exception:  # noqa: BLE001  (a text that cannot be made, as of a ValidationError whose params do not fit)
        return type(error).__name__


def _readable(error: BaseException) -> str:
    name = type(error).__name__
    if isinstance(error, JobsError) and error.refused_call and not isinstance(error, RetryableRefusal):
        return f"{error.refused_call} was refused: {error}"
    if isinstance(error, ValidationError):
        return "; ".join(error.messages)
    if is_expected(error) or jobs_settings.SHOW_ERROR_TEXT:
        return str(error) or name
    return name


def is_expected(error: BaseException) -> bool:
    """Return whether the error was made for those who read it: its text tells what is wrong, wherever it came from."""
    return isinstance(error, JobsError | ValidationError) or _is_of_rest_framework(error, "ValidationError")


def _is_of_rest_framework(error: BaseException, name: str) -> bool:
    """Return whether it is such an error of DRF. A child that has not loaded DRF is not to do so for that."""
    return isinstance(error, getattr(sys.modules.get("rest_framework.exceptions"), name, ()))


def _http_answer(error: BaseException) -> tuple[int | None, Any]:
    """Return status and headers of an exception of requests or httpx (``response``), urllib (``code``) or DRF."""
    response = getattr(error, "response", None)
    status = (
        getattr(response, "status_code", None) or getattr(error, "status_code", None) or getattr(error, "code", None)
    )
    headers = getattr(response, "headers", None) or getattr(error, "headers", None) or {}
    return (status, headers) if isinstance(status, int) else (None, headers)


def _retry_after(headers: Any) -> float | None:
    """Return the seconds of a Retry-After header (RFC 9110, section 10.2.3), bounded by MAX_RETRY_AFTER."""
    try:
        value = headers.get("Retry-After")
    except AttributeError:
        return None
    if value is None:
        return None
    try:
        seconds = float(value)
    except ValueError:
        try:
            seconds = email.utils.parsedate_to_datetime(value).timestamp() - time.time()
        except (TypeError, ValueError):
            return None
    return _bounded(seconds, float(jobs_settings.MAX_RETRY_AFTER))


def _bounded(seconds: float, most: float) -> float | None:
    return min(max(seconds, 0.0), most) if math.isfinite(seconds) else None
