"""Collecting what handlers write to the log, where ``HANDLER_LOGS`` says so, and storing it with their ends.

A logging handler at the root, and at each logger that passes nothing on, gives each record to the attempt in whose
context it was written: its thread or task, and what was started with a copy of that. It takes no part in the host's own
logging, and no mistake in it reaches the job. Where the setting is off, nothing of this is there.
"""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Iterable, Iterator
from typing import Final

from django.db import DatabaseError, transaction

from django_jobs.engine.claimed_job import Claimed, current_job
from django_jobs.engine.execution.retry_policy import Outcome
from django_jobs.engine.log_lines import KeptLines, LineBuffer, read_limits
from django_jobs.engine.store import database
from django_jobs.models import AttemptLog

logger = logging.getLogger("django_jobs")

#: Bytes of one insert: MariaDB takes 16 MB at once.
INSERT_BYTES: Final = 4_000_000


class Collector(logging.Handler):
    """Gives each record to the attempt whose handler wrote it."""

    def __init__(self) -> None:
        super().__init__()
        self._writing = threading.local()

    def handle(self, record: logging.LogRecord) -> bool:
        """Take a record. No lock is held, so that handlers in threads do not wait for each other's arguments."""
        try:
            self._stand_in(record)
            return self._collect(record)
        except Exception:  # noqa: BLE001  (whatever the host's objects raise; to log it would come here again)
            return False

    def _collect(self, record: logging.LogRecord) -> bool:
        claimed = current_job.get()
        lines = None if claimed is None else claimed.log_lines
        # An argument that itself writes to the log when it is formatted would come here for ever.
        if lines is None or getattr(self._writing, "is_under_way", False):
            return False
        self._writing.is_under_way = True
        try:
            lines.add(record)
        finally:
            self._writing.is_under_way = False
        return True

    def _stand_in(self, record: logging.LogRecord) -> None:
        """Have Python's handler of last resort write what no handler of the host's does: it takes us for one."""
        last = logging.lastResort
        if last is None or record.levelno < last.level:
            return
        found: logging.Logger | None = logging.getLogger(record.name)
        while found is not None and found.handlers in ([], [self]):
            found = found.parent if found.propagate else None
        if found is None:
            last.handle(record)


_collector = Collector()


def begin(claimed: Claimed) -> None:
    """Have what the handler of this attempt writes to the log collected, if the setting says so."""
    try:
        limits = read_limits()
        if limits is not None:
            _install(limits.level)
            claimed.log_lines = LineBuffer(limits, claimed.mask)
    except (TypeError, ValueError) as error:  # a system check tells of it; the job runs
        logger.warning("event=handler_logs_off error=%s", error)


def _install(level: int) -> None:
    """Put the collector where all records come by. The host may have configured its logging anew."""
    _collector.setLevel(level)
    if _collector not in logging.root.handlers:
        for found in [logging.root, *_closed_loggers()]:
            found.addHandler(_collector)


def _closed_loggers() -> Iterator[logging.Logger]:
    """Yield the loggers that pass nothing on to the root."""
    for found in list(logging.root.manager.loggerDict.values()):
        if isinstance(found, logging.Logger) and not found.propagate:
            yield found


def end(claimed: Claimed) -> KeptLines | None:
    """Return what was collected; None where that is nothing."""
    try:
        return None if claimed.log_lines is None else claimed.log_lines.close()
    except Exception as error:  # noqa: BLE001  (no job fails because of its lines)
        logger.warning("job_id=%s event=handler_logs_lost error=%r", claimed.job_id, error)
        return None


def save_with_ends(ended: Iterable[Outcome]) -> None:
    """Store what these attempts wrote to the log, in the transaction that stores their ends.

    What the database refuses holds up no end.
    """
    rows = [
        AttemptLog(
            job_id=item.claimed.pk,
            attempt=item.claimed.attempt,
            first_lines=[list(line) for line in item.log.first],
            last_lines=[list(line) for line in item.log.last],
            kept=len(item.log.first) + len(item.log.last),
            dropped=item.log.dropped,
        )
        for item in ended
        if item.log is not None
    ]
    if not rows:
        return
    largest = max(len(json.dumps([row.first_lines, row.last_lines])) for row in rows)
    try:
        with transaction.atomic(using=database.alias()):
            AttemptLog.primary.bulk_create(rows, max(1, INSERT_BYTES // largest), ignore_conflicts=True)
    except DatabaseError as error:
        if database.is_lost_connection(error) or database.is_lost_race(error):
            raise
        logger.warning("event=handler_logs_not_saved attempts=%s error=%r", len(rows), error)
