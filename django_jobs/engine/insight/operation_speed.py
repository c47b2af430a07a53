"""How fast operations go: as the last ones of the same action did, or as is usual where none tells."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from django_jobs.models import Operation

Action: Final = Operation.Action

#: Jobs a second of an action that was not measured yet: as PostgreSQL does it on two cores.
USUAL: Final[Mapping[str, float]] = {
    Action.RETRY: 1_500.0,
    Action.CANCEL: 1_400.0,
    Action.DELETE: 1_800.0,
    Action.SET_PRIORITY: 1_100.0,
    Action.RUN_NOW: 1_200.0,
}
#: An operation that changed fewer jobs tells more of when the scheduler looked than of how fast it goes.
LEAST: Final = 1_000
#: So many of the latest operations are looked at, and of these so many of each action.
LOOKED_AT: Final = 200
LATEST: Final = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Speed:
    """Jobs a second, where nothing slows it down, and whether operations here have shown it."""

    per_second: float
    is_measured: bool

    def seconds_for(self, jobs: int, per_minute: int | None) -> float:
        """Return about how many seconds so many jobs take at a rate in jobs a minute; None: as fast as it goes."""
        speed = self.per_second if per_minute is None else min(self.per_second, per_minute / 60)
        return round(jobs / speed, 3)


def read_speeds() -> dict[str, Speed]:
    """Return the speed of each action, read by one statement: that of the fastest of the latest operations.

    Others may have been paused, had a rate for a while, or shared the time with a neighbor.
    """
    rows = Operation.primary.filter(
        state=Operation.State.DONE,
        per_minute__isnull=True,
        stop_above__isnull=True,
        tries_one_first=False,
        changed__gte=LEAST,
    )
    found: defaultdict[str, list[float]] = defaultdict(list)
    for action, changed, begun, ended in rows.order_by("-pk").values_list(
        "action", "changed", "started_at", "ended_at"
    )[:LOOKED_AT]:
        seconds = (ended - begun).total_seconds() if ended is not None else 0.0
        if seconds > 0 and len(found[action]) < LATEST:
            found[action].append(changed / seconds)
    return {
        str(action): Speed(per_second=max(found[action]), is_measured=True)
        if found[action]
        else Speed(per_second=USUAL[action], is_measured=False)
        for action in Action
    }
