"""Judging an error: whether another try is worth it, when, and what a tenant may read of it. No database is used."""

from __future__ import annotations

import email.utils
import math
import random
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from django.core.exceptions import ObjectDoesNotExist, ValidationError
from django.core.exceptions import PermissionDenied as DjangoPermissionDenied
from django.http import Http404

from django_jobs.conf import jobs_settings
from django_jobs.engine.json_storage import clean_text
from django_jobs.exceptions import BrokerUnavailable, JobsError, RetryableRefusal, TransientError

TRANSIENT: Final = "Transient"
PERMANENT: Final = "Permanent"
RETRYABLE_HTTP: Final = frozenset({408, 429, 500, 502, 503, 504})
CLIENT_ERROR: Final = 4
#: Characters of an error's text.
MAX_TEXT: Final = 4000
#: Seconds.
MAX_BACK_OFF: Final = 30 * 24 * 3600.0
#: Enough to get from one second past MAX_BACK_OFF; a thousand would overflow a float.
MAX_DOUBLINGS: Final = 22


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What an error means. ``kind`` is Transient or Permanent; ``retry_after`` the seconds that the error asks for."""

    kind: str
    text: str
    retry_after: float | None = None


def back_off(retry: int, delay: float, jitter: float) -> float:
    """Return the seconds before the ``retry``-th retry, counted from 1: exponential back-off with jitter.

    The ``delay`` is doubled with each retry up to MAX_BACK_OFF. Then it is spread by ± ``jitter``, a part of 1.
    """
    base = min(delay * 2.0 ** min(retry - 1, MAX_DOUBLINGS), MAX_BACK_OFF)
    return base * random.uniform(1 - jitter, 1 + jitter)  # noqa: S311  (spreads retries)


def classify(error: BaseException, mask: Callable[[str], str] = str) -> Verdict:
    """Return what this error means for its job: by its class, or by the HTTP status that it carries.

    ``mask`` returns a text without what nobody is to read.
    """
    text = readable(error, mask)
    if isinstance(error, RetryableRefusal):
        return Verdict(kind=TRANSIENT, text=text, retry_after=_bounded(error.retry_after, MAX_BACK_OFF))
    if isinstance(error, TransientError | BrokerUnavailable):
        return Verdict(kind=TRANSIENT, text=text)
    if isinstance(error, JobsError | ValidationError | DjangoPermissionDenied | ObjectDoesNotExist | Http404):
        return Verdict(kind=PERMANENT, text=text)
    if _is_rest_framework_client_error(error):
        return Verdict(kind=PERMANENT, text=text)
    status, headers = _http_answer(error)
    return Verdict(kind=TRANSIENT, text=text, retry_after=_retry_after(headers) if status in RETRYABLE_HTTP else None)


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
    return isinstance(error, JobsError | ValidationError) or _is_rest_framework_validation(error)


def _is_rest_framework_client_error(error: BaseException) -> bool:
    if not _is_rest_framework_loaded():
        return False
    from rest_framework.exceptions import APIException

    return isinstance(error, APIException) and error.status_code // 100 == CLIENT_ERROR


def _is_rest_framework_validation(error: BaseException) -> bool:
    if not _is_rest_framework_loaded():
        return False
    from rest_framework.exceptions import ValidationError as RestValidationError

    return isinstance(error, RestValidationError)


def _is_rest_framework_loaded() -> bool:
    """Return whether an error can be one of DRF's. A child that has not loaded it is not to do so for that."""
    return "rest_framework.exceptions" in sys.modules


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
