"""One spelling for filters that name the same jobs, so that two of them can be compared.

Equal is only what is so for every job: no database is asked, and no difference of case is overlooked.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from typing import Any, Final

from django_jobs.engine.insight.job_filter import TERMS, JobFilter
from django_jobs.exceptions import InvalidFilter
from django_jobs.statuses import WITH_ERRORS, Status

_WHOLE_FINGERPRINT: Final = re.compile(r"[0-9a-f]{64}")


def in_one_spelling(stored: Mapping[str, Any]) -> JobFilter | Mapping[str, Any]:
    """Return a stored filter so that it equals those which name the same jobs; as it is where it cannot be read."""
    try:
        return _respelled(JobFilter.from_json(stored))
    except InvalidFilter:
        return stored


def _respelled(filters: JobFilter) -> JobFilter:
    found = {name: _ordered(name, getattr(filters, name)) for name in TERMS}
    if found["fingerprint_start"] or found["error_text"]:
        wanted = WITH_ERRORS if found["statuses"] is None else WITH_ERRORS.intersection(found["statuses"])
        found["statuses"] = tuple(sorted(map(str, wanted)))
    start = found["fingerprint_start"]
    if start and _WHOLE_FINGERPRINT.fullmatch(start) and found["error_fingerprint"] in (None, start):
        found |= {"fingerprint_start": None, "error_fingerprint": start}
    if found["statuses"] is not None and set(found["statuses"]) == set(Status.values):
        found["statuses"] = None
    found["everything"] = None
    is_all = not filters.is_empty and all(value is None for value in found.values())
    return dataclasses.replace(filters, **(found | {"everything": True if is_all else None}))


def _ordered(name: str, value: Any) -> Any:
    """Return the choices of a term each once and in one order; a batch is a single one."""
    return tuple(sorted(set(value), key=str)) if isinstance(value, tuple) and name != "batch" else value
