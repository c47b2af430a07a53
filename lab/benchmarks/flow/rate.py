"""Whether never more jobs start in a window than may, how evenly they do, and how much of the rate is reached."""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any, Final, NamedTuple

from django_jobs.models import Job
from lab.benchmarks.flow import stage
from lab.benchmarks.flow.stage import Crew, Item
from lab.benchmarks.flow.table import Table, percentile
from tests.support.overlaps import grouped, most_starts

CREW: Final = Crew(2, 10)
KEYS: Final = 5
TENTHS: Final = 10
#: Seconds that jobs start for; more than two windows of the longest.
MEASURED_SECONDS: Final = {False: 150.0, True: 25.0}


class Rate(NamedTuple):
    """So many starts in so many seconds, of a type or of each of its keys."""

    starts: int
    window: int
    is_per_key: bool = False

    def fields(self) -> dict[str, Any]:
        if not self.is_per_key:
            return {"max_starts": self.starts, "max_starts_window": self.window}
        limits = {"max_starts_per_key": self.starts, "max_starts_window": self.window}
        return {**limits, "concurrency_key": "account", "max_running_per_key": 1_000}


def rates(*, small: bool) -> dict[str, Rate]:
    return {
        "per second": Rate(50, 1),
        "per minute": Rate(100, 10) if small else Rate(600, 60),
        "per key": Rate(10, 1, is_per_key=True),
    }


def measure(*, small: bool) -> bool:
    """Let jobs start as they may for a while, and count the beginnings that the handlers wrote down."""
    seconds, wanted = MEASURED_SECONDS[small], {_name(words): rate for words, rate in rates(small=small).items()}
    stage.reset({name: rate.fields() for name, rate in wanted.items()})
    organization = stage.organizations(1)[0]
    for name, rate in wanted.items():
        count = 2 * math.ceil(seconds * rate.starts / rate.window)
        keys = [f"account {number}" for number in range(KEYS if rate.is_per_key else 1)]
        items = [{"account": key, "number": number} for number in range(count) for key in keys]
        stage.submit(Item(name, organization.name, item) for item in items)
    with stage.workers(CREW) as workers:
        stage.begin()
        time.sleep(seconds)
        until = time.monotonic()
        runs = workers.runs()
    places, table = stage.places(), Table(f"rate: types that may start so many jobs in a window, for {seconds:g} s")
    claimed_at = {pk: at.timestamp() for pk, at in Job.objects.values_list("pk", "started_at") if at is not None}
    for name, rate in wanted.items():
        own = [run for run in runs if places[run.pk].kind == name]
        groups = grouped(own, lambda run: places[run.pk].key)
        _tell(table, name, rate, [[run.began for run in members] for members in groups.values()], until)
        claims = [[claimed_at[run.pk] for run in members] for members in groups.values()]
        most = max((most_starts(moments, rate.window) for moments in claims), default=0)
        table.say(f"{name}: the same by started_at", f"{most}", f"<= {rate.starts}", most <= rate.starts)
    return table.is_exact


def _name(words: str) -> str:
    return words.replace(" ", "_")


def _tell(table: Table, name: str, rate: Rate, groups: Sequence[Sequence[float]], until: float) -> None:
    most = max((most_starts(moments, rate.window) for moments in groups), default=0)
    what = f"{name}: most starts in any {rate.window} s"
    table.guarantee(what, f"{most}", f"<= {rate.starts}", holds=most <= rate.starts)
    off = [part for moments in groups for part in _unevenness(moments, rate, until)]
    table.say(f"{name}: tenths of windows off their part, mean", f"{_mean(off):.1%}", "<= 10 %", _mean(off) <= 0.1)
    table.say(f"{name}: tenths of windows off their part, p95", f"{percentile(off, 0.95):.1%}")
    reached = [len(moments) / (until - moments[0]) * rate.window / rate.starts for moments in groups]
    least = min(reached, default=0.0)
    table.say(f"{name}: of the permitted rate", f"{least:.1%}", ">= 95 %", least >= 0.95 and table.is_exact)


def _unevenness(moments: Sequence[float], rate: Rate, until: float) -> Iterator[float]:
    """Yield by how much each tenth of a window is off its part of the starts, beyond the one more or less of any count.

    Without the first window, which may begin with what was saved up, and the last tenth, which may not be over.
    """
    tenth = rate.window / TENTHS
    part = rate.starts / TENTHS
    counted = Counter(int((moment - moments[0]) / tenth) for moment in moments)
    for number in range(TENTHS, int((until - moments[0]) / tenth)):
        yield max(0.0, abs(counted[number] - part) - 1) / part


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else 0.0
