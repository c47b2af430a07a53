"""Whether a failure is worth another try, when, and what a tenant may read of it. Pure: no database."""

from __future__ import annotations

import email.utils
import math
import random
import time
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
MAX_BACK_OFF: Final = 30 * 24 * 3600.0
#: So many lead from a second past MAX_BACK_OFF; floats end after a thousand.
MAX_DOUBLINGS: Final = 22


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """``kind`` is Transient or Permanent; ``retry_after`` is a delay in seconds that the error itself asks for."""

    kind: str
    text: str
    retry_after: float | None = None


def back_off(retry: int, delay: float, jitter: float) -> float:
    """Seconds before the ``retry``-th retry (from 1): exponential up to MAX_BACK_OFF, spread by ± ``jitter``."""
    base = min(delay * 2.0 ** min(retry - 1, MAX_DOUBLINGS), MAX_BACK_OFF)
    return base * random.uniform(1 - jitter, 1 + jitter)  # noqa: S311  (spreads retries)


def classify(error: BaseException) -> Verdict:
    """What this error means for the job, as CONTRACT's section on behaviour says."""
    text = readable(error)
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


def readable(error: BaseException) -> str:
    """The text that tenants may read: what was meant for them, else the class name (it may quote secrets)."""
    try:
        return _readable(error)
    except Exception:  # noqa: BLE001  (a text that cannot be made, as of a ValidationError whose params do not fit)
        return type(error).__name__


def _readable(error: BaseException) -> str:
    name = type(error).__name__
    if isinstance(error, JobsError) and error.refused_call and not isinstance(error, RetryableRefusal):
        return clean_text(f"{error.refused_call} was refused: {error}", 4000)
    if isinstance(error, ValidationError):
        return clean_text("; ".join(error.messages), 4000)
    if isinstance(error, JobsError) or jobs_settings.SHOW_ERROR_TEXT or _is_rest_framework_validation(error):
        return clean_text(str(error) or name, 4000)
    return name


def _is_rest_framework_client_error(error: BaseException) -> bool:
    from rest_framework.exceptions import APIException

    return isinstance(error, APIException) and error.status_code // 100 == CLIENT_ERROR


def _is_rest_framework_validation(error: BaseException) -> bool:
    from rest_framework.exceptions import ValidationError as RestValidationError

    return isinstance(error, RestValidationError)


def _http_answer(error: BaseException) -> tuple[int | None, Any]:
    """(status, headers) of the exceptions of requests, httpx (``response``), urllib (``code``) and DRF."""
    response = getattr(error, "response", None)
    status = (
        getattr(response, "status_code", None) or getattr(error, "status_code", None) or getattr(error, "code", None)
    )
    headers = getattr(response, "headers", None) or getattr(error, "headers", None) or {}
    return (status, headers) if isinstance(status, int) else (None, headers)


def _retry_after(headers: Any) -> float | None:
    """Seconds of a Retry-After header (RFC 9110, section 10.2.3), bounded by MAX_RETRY_AFTER."""
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
