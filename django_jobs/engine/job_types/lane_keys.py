"""The lane of a job: jobs of a type and organization that have the same value of the type's concurrency key share one.

Two values are the same where JSON has them the same: the order of an object's keys does not matter, and a number is one
number however it is written, so that 1 and 1.0 share a lane, and the text "1" has another. A parameter that is missing
counts as null.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from decimal import Decimal
from typing import Any, Final

from django_jobs.engine.json_storage import canonical
from django_jobs.models import JobType

#: The lane of all jobs of a type without a concurrency key.
NO_KEY: Final = 0


def lane_key(concurrency_key: str, parameters: Mapping[str, Any]) -> int:
    """Return the lane of a job with these stored parameters: a signed number of 64 bits, 0 only without a key.

    It is a hash of the key's name and the canonical JSON of its value. Two values that collide share a lane, so that
    one may wait for the other without need. Among a billion values the chance that any two do is 3 %.
    """
    if not concurrency_key:
        return NO_KEY
    text = canonical([concurrency_key, _plain(parameters.get(concurrency_key))])
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), signed=True) or 1


def _plain(value: Any) -> Any:
    """Return the value with whole numbers as integers: not every database tells which of the two was stored.

    Of a large one those are its digits as JSON writes them, since PostgreSQL gives back 1e30 as 10**30, not as the
    float that is nearest to it.
    """
    if isinstance(value, float):
        return int(Decimal(repr(value))) if value.is_integer() else value
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, list) else value


def is_rekeyed(kind: JobType) -> bool:
    """Return whether all unfinished jobs of a type have the lanes that its concurrency key says.

    Where not, the scheduler sees to it (``engine.control.lane_keys``); until then nobody can tell by the lanes how many
    jobs run for each value of the key.
    """
    return kind.keyed_by == kind.concurrency_key
