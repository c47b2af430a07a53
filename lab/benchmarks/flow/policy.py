"""Who gets how much: read from an organization's name, so that every process knows it without asking."""

from __future__ import annotations

import random
from typing import Any, Final

from django_jobs import AccessPolicy
from django_jobs.conf import jobs_settings

WEIGHTS: Final = (1.0, 1.25, 1.5, 2.0)
#: Of an organization whose name begins so, at most so many jobs are in flight.
CAPPED, CAP = "CAPPED", 3
WEIGHTED: Final = "WEIGHTED"


def weight_of(name: str) -> float:
    """Return the weight of an organization: of those that begin with WEIGHTED one at random, the same each time."""
    return random.Random(name).choice(WEIGHTS) if name.startswith(WEIGHTED) else 1.0


class Weighted(AccessPolicy):
    """The built-in policy with weights."""

    def weight(self, organization: Any) -> float:
        return weight_of(organization.name)

    def in_flight_limit(self, organization: Any) -> int:
        return CAP if organization.name.startswith(CAPPED) else int(jobs_settings.MAX_IN_FLIGHT_PER_ORGANIZATION)
