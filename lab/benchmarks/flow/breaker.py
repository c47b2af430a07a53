"""What a provider that is down costs: attempts, retries, and the time until work flows again."""

from __future__ import annotations

import os
import statistics
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from django.db.models import Max

from django_jobs.models import Job
from django_jobs.statuses import Status
from lab.benchmarks import setting
from lab.benchmarks.flow import stage
from lab.benchmarks.flow.handlers import OUTAGE
from lab.benchmarks.flow.stage import Crew
from lab.benchmarks.flow.table import Table
from lab.benchmarks.setting import Lane
from lab.faults.drain import drain
from tests.support.overlaps import Run
from tests.support.record import RETURNED

CREW: Final = Crew(2, 10)
KIND: Final = "provider"
BREAKER: Final = {"breaker_failures": 10, "breaker_pause": 2, "retry_delay": 1}
ORGANIZATIONS: Final = 10
#: Jobs that wait when the provider goes down.
WAITING: Final = 5_000
JOB_SECONDS: Final = 0.05
#: Seconds for which work flows before.
FLOW_SECONDS: Final = {False: 10.0, True: 5.0}
DOWN_SECONDS: Final = {False: 60.0, True: 10.0}
MOST_ATTEMPTS: Final = 100
MOST_SECONDS: Final = 10.0
#: Rates are counted over so many seconds.
SPAN: Final = 1.0


def measure(*, small: bool) -> bool:
    """Let work flow, take the provider away for a while, and wait until all has ended."""
    stage.reset({KIND: BREAKER}, handler="call_provider")
    # Retries stand in the rows, as a submission would write them.
    jobs = WAITING + int(CREW.slots / JOB_SECONDS * FLOW_SECONDS[small])
    organizations = stage.organizations(ORGANIZATIONS)
    lanes = [Lane(KIND, one, jobs // ORGANIZATIONS, parameters={"seconds": JOB_SECONDS}) for one in organizations]
    setting.insert_waiting(lanes)
    Job.objects.update(retry_delay=BREAKER["retry_delay"])
    with tempfile.TemporaryDirectory() as directory:
        outage = Path(directory, "outage")
        os.environ[OUTAGE] = str(outage)
        with stage.workers(CREW) as workers:
            stage.begin()
            time.sleep(FLOW_SECONDS[small])
            down_at = time.monotonic()
            outage.touch()
            time.sleep(DOWN_SECONDS[small])
            outage.unlink()
            up_at = time.monotonic()
            left = drain()
            runs = workers.runs()
    table = Table(f"breaker: the provider of {WAITING:,} waiting jobs is down for {DOWN_SECONDS[small]:g} s")
    table.findings(left)
    _tell(table, runs, down_at, up_at)
    return table.is_exact


def _tell(table: Table, runs: Sequence[Run], down_at: float, up_at: float) -> None:
    failed = [run for run in runs if run.how != RETURNED]
    table.guarantee("attempts that failed", f"{len(failed):,}", f"< {MOST_ATTEMPTS}", holds=len(failed) < MOST_ATTEMPTS)
    late = sum(run.began > down_at + SPAN for run in failed)
    table.say(f"    of these, {SPAN:g} s after it went down or later", f"{late:,}")
    most = Job.objects.aggregate(most=Max("retry_count"))["most"] or 0
    table.guarantee("retries that a job spent, at most", f"{most}", "<= 1", holds=most <= 1)
    spent = Job.objects.filter(retry_count__gt=0).count()
    table.say("jobs that spent a retry", f"{spent:,}")
    counts = Counter(Job.objects.values_list("status", flat=True))
    others = {status: count for status, count in counts.items() if status != Status.COMPLETED}
    table.guarantee("jobs that did not complete", f"{sum(others.values()):,}", "0", holds=not others)
    before, seconds = rate_before(runs, down_at), None
    table.say("completed a second before", f"{before:,.0f}")
    seconds = seconds_until(runs, up_at, 0.9 * before)
    first = min((run.ended - up_at for run in runs if run.how == RETURNED and run.ended > up_at), default=None)
    table.say("the first completed after", "never" if first is None else f"{first:.1f} s")
    told = "never" if seconds is None else f"{seconds:.1f} s"
    table.say("back to 90 % of that after", told, "< 10 s", seconds is not None and seconds < MOST_SECONDS)


def rate_before(runs: Sequence[Run], down_at: float) -> float:
    """Return how many completed in a second, the median of whole seconds without the first one."""
    ended = [run.ended for run in runs if run.how == RETURNED and run.ended < down_at]
    counted = Counter(int((down_at - moment) / SPAN) for moment in ended)
    return statistics.median(counted[number] for number in range(max(counted, default=1))) / SPAN


def seconds_until(runs: Sequence[Run], up_at: float, rate: float) -> float | None:
    """Return after how many seconds so many a second had completed; None if that never was."""
    ended = sorted(run.ended for run in runs if run.how == RETURNED and run.ended >= up_at)
    first = 0
    for place, moment in enumerate(ended):
        while moment - ended[first] > SPAN:
            first += 1
        if place - first + 1 >= rate * SPAN:
            return moment - up_at
    return None
