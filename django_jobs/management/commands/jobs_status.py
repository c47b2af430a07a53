"""``manage.py jobs_status``: show what waits, what runs and who works, once or again and again."""

from __future__ import annotations

import datetime as dt
import itertools
import json
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from django.core.management.base import CommandParser
from django.core.serializers.json import DjangoJSONEncoder
from django.db import Error

from django_jobs.engine.insight.inspection import (
    MAX_BATCHES,
    MAX_ENDED,
    MAX_REASON,
    OpenBatches,
    SchedulesSeen,
    Snapshot,
    snapshot,
)
from django_jobs.engine.ports import Queue
from django_jobs.engine.store import database
from django_jobs.management.shell import ShellCommand, told_plainly
from django_jobs.management.status import held_lines, status_facts
from django_jobs.statuses import TERMINAL

PAUSE_SECONDS = 2.0
HOUR = 3_600
CLEAR_SCREEN = "\x1b[H\x1b[2J"


class Command(ShellCommand):
    help = "Shows what waits, what runs, who works and whether the scheduler ticks."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--watch", action="store_true", help="Show it again every two seconds, until Ctrl+C.")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            with told_plainly():
                self._watch() if options["watch"] else self._show(self._read())
        except BrokenPipeError:
            self.go_unread()

    def _watch(self) -> None:
        try:
            while True:
                is_drawn_anew = self.stdout.isatty() and not self.as_json
                self._show((CLEAR_SCREEN if is_drawn_anew else "") + look(self._read, as_json=self.as_json))
                time.sleep(PAUSE_SECONDS)
        except KeyboardInterrupt:
            if not self.as_json:
                self._show("")

    def _read(self) -> str:
        return json.dumps(status_facts(snapshot()), cls=DjangoJSONEncoder) if self.as_json else _state()

    def _show(self, text: str) -> None:
        self.stdout.write(text)
        self.stdout.flush()


def _state() -> str:
    return "\n".join(describe(snapshot(), held_lines()))


def look(read: Callable[[], str] = _state, *, as_json: bool = False) -> str:
    """Return the state as text. If the database is away, return that; the next call asks it again."""
    database.mend_connections()
    try:
        return read()
    except Error as error:
        text = f"The database cannot be read ({type(error).__name__})."
        return json.dumps({"error": {"code": "unavailable", "message": text}}) if as_json else text


def describe(seen: Snapshot, hindered: Iterable[str] = ()) -> Iterator[str]:
    """Yield the lines to show; ``hindered`` are those of alarms, breakers and limits."""
    yield f"{seen.moment:%Y-%m-%d %H:%M:%S} UTC"
    yield ""
    yield "Unfinished   " + counts(seen.unfinished)
    yield "Ended        " + counts(seen.ended, most=MAX_ENDED)
    yield "Oldest wait  " + seconds(seen.oldest_waiting_seconds, "nothing waits")
    yield ""
    yield from describe_depths(seen)
    if seen.tickets is None:
        yield "The broker does not answer: nothing is dispatched."
    if seen.set_aside is not None and seen.set_aside.count:
        yield f"Set aside    {seen.set_aside} entries of our queues that were no tickets; jobs_check says more"
    yield ""
    yield from describe_batches(seen.batches)
    yield from hindered
    state = "leads" if seen.leader.is_alive else "IS NOT ALIVE"
    tick = seconds(seen.leader.seconds_since_tick, "never", " ago")
    yield f"Scheduler    {seen.leader.holder or 'none'} {state}, last tick {tick}"
    yield from schedule_lines(seen.schedules, seen.moment)
    quiet = sum(worker.quiet_since is not None for worker in seen.workers)
    yield f"Workers      {len(seen.workers)}" + (f", {quiet} of them quiet: they take no new jobs" if quiet else "")
    for worker in seen.workers:
        since = f" QUIET since {worker.quiet_since:%Y-%m-%d %H:%M} UTC" if worker.quiet_since else ""
        yield f"  {worker.name:<40} pid {worker.pid:<8} slots {worker.slots:<3} {worker.queues}{since}"


def describe_depths(seen: Snapshot) -> Iterator[str]:
    """Yield a table of the priorities for each pool; the name of a pool is told where there are several."""
    several = len({depth.pool for depth in seen.depths}) > 1
    heading = f"{'due':>9} {'later':>9} {'queued':>9} {'running':>9} {'tickets':>9}"
    for pool, depths in itertools.groupby(seen.depths, lambda depth: depth.pool):
        yield f"{f'Pool {pool}' if several else '':<12} {heading}"
        for depth in depths:
            queue = Queue(pool, int(depth.priority))
            tickets = "?" if seen.tickets is None else seen.tickets.get(queue, 0)
            numbers = (depth.due, depth.later, depth.queued, depth.running, tickets)
            yield f"{depth.priority.word:<12} " + " ".join(f"{number:>9}" for number in numbers)


def describe_batches(batches: OpenBatches) -> Iterator[str]:
    """Yield the lines of the batches that are open or running; none where there is none."""
    if not batches.count:
        return
    yield "Batches      " + counts({"open or running": batches.count}, most=MAX_BATCHES)
    for batch in batches.oldest:
        ended = sum(count for status, count in batch.by_status.items() if status in TERMINAL)
        done = f"{ended:,} of {batch.total:,}"
        yield f"  {batch.batch_id:<18} {batch.state:<8} {batch.progress:>3} %  {done:<20} {batch.name[:50]}".rstrip()
    if batches.count > len(batches.oldest):
        yield f"  and {batches.count - len(batches.oldest):,} more"
    yield ""


def schedule_lines(seen: SchedulesSeen, now: dt.datetime) -> Iterator[str]:
    """Yield how the schedules are, where there are any: how many, which cannot fire, and which fire next."""
    if not seen.count:
        return
    coming = [f"{row} {when(row.next_run_at, now)}" for row in seen.coming if row.next_run_at is not None]
    paused = f", {seen.paused} paused" if seen.paused else ""
    yield f"Schedules    {seen.count}{paused}; next: {', '.join(coming) or 'none'}"
    for row in seen.faulty:
        yield f"  {row} CANNOT FIRE: {row.fault.splitlines()[0][:MAX_REASON]}"
    if seen.faulty_count > len(seen.faulty):
        yield f"  and {seen.faulty_count - len(seen.faulty)} more that cannot"


def when(moment: dt.datetime, now: dt.datetime) -> str:
    """Return in how many seconds a moment comes, or, of one that is more than an hour away, the moment."""
    left = max(0, round((moment - now).total_seconds()))
    return f"in {left} s" if left < HOUR else f"{moment:%Y-%m-%d %H:%M} UTC"


def counts(numbers: dict[str, int], most: int | None = None) -> str:
    """Return the numbers by name. A number above ``most`` is shown as ``most`` and a plus sign."""
    return "   ".join(
        f"{name} {number:,}" if most is None or number <= most else f"{name} {most:,}+"
        for name, number in numbers.items()
    )


def seconds(value: float | None, absent: str, suffix: str = "") -> str:
    """Return a number of seconds as text; ``absent`` for None."""
    return absent if value is None else f"{value:.1f} s{suffix}"
