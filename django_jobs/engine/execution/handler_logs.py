"""What handlers write to the log, where ``HANDLER_LOGS`` says so: the first and the last lines of each attempt."""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from django_jobs.conf import jobs_settings
from django_jobs.engine.claimed_job import Claimed, current_job
from django_jobs.engine.json_storage import clean_text

logger = logging.getLogger("django_jobs")

# The lines that a handler writes to the log in one attempt: the first and the last of them, within bounds.


#: What ``HANDLER_LOGS`` leaves out.
DEFAULTS: Final[dict[str, Any]] = {"level": "INFO", "max_lines": 200, "max_bytes": 32_768}
#: Bytes that a line takes beside its texts.
OVERHEAD: Final = 40
#: Stands behind a text that was cut.
CUT: Final = "…"
_EXCEPTIONS: Final = logging.Formatter()


class LogLimits(NamedTuple):
    """The level from which on lines are kept, and how many of an attempt, and of how many bytes."""

    level: int
    max_lines: int
    max_bytes: int


class Line(NamedTuple):
    """When it was written (seconds since 1970), its level, its logger and its text."""

    moment: float
    level: str
    logger: str
    text: str

    @property
    def size(self) -> int:
        """Return about how many bytes it takes."""
        return OVERHEAD + len(self.logger.encode()) + len(self.text.encode())


@dataclass(frozen=True, slots=True)
class KeptLines:
    """What is kept of an attempt: its first and its last lines, and how many between them are not here."""

    first: list[Line]
    last: list[Line]
    dropped: int


def read_limits() -> LogLimits | None:
    """Return what the setting ``HANDLER_LOGS`` says; None where nothing is kept.

    Raises TypeError or ValueError where it says nothing that makes sense, which a system check tells.
    """
    wanted = jobs_settings.HANDLER_LOGS
    if wanted is None:
        return None
    if not isinstance(wanted, dict) or (unknown := sorted(set(wanted) - set(DEFAULTS))):
        raise TypeError(f"has the unknown key {unknown[0]!r}" if isinstance(wanted, dict) else "is no dict")
    level, lines, size = ({**DEFAULTS, **wanted}[name] for name in DEFAULTS)
    number: Any = logging.getLevelNamesMapping().get(level) if isinstance(level, str) else level
    if not _is_count(number):
        raise ValueError(f"has no level {level!r}")
    if not _is_count(lines) or not _is_count(size) or lines < 2 or size < 1_024:  # noqa: PLR2004  (told in the text)
        raise ValueError("needs at least 2 for max_lines and 1024 for max_bytes")
    return LogLimits(number, lines, size)


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


class LineBuffer:
    """Takes the lines of one attempt, from all its threads. Half of the room is for the first, half for the last.

    ``mask`` returns a text without what nobody is to read. It gets each text before that is cut.
    """

    def __init__(self, limits: LogLimits, mask: Callable[[str], str] = str) -> None:
        self._mask = mask
        self._most = limits.max_lines // 2
        self._room = limits.max_bytes // 2
        self._first: list[Line] = []
        self._last: deque[Line] = deque()
        self._first_size = self._last_size = self._dropped = 0
        self._is_closed = False
        self._lock = threading.Lock()

    def add(self, record: logging.LogRecord) -> None:
        """Keep a record as a line, in the place of an older one where there is no room. Never raises an Exception."""
        line = self._line(record)
        with self._lock:
            if self._is_closed:
                return
            has_room = len(self._first) < self._most and self._first_size + line.size <= self._room
            if has_room and not self._last:
                self._first.append(line)
                self._first_size += line.size
                return
            self._last.append(line)
            self._last_size += line.size
            while len(self._last) > self._most or self._last_size > self._room:
                self._last_size -= self._last.popleft().size
                self._dropped += 1

    def close(self) -> KeptLines | None:
        """Return what is kept, None if that is nothing; what comes later is of no attempt."""
        with self._lock:
            self._is_closed = True
            if not self._first and not self._last:
                return None
            return KeptLines(self._first, list(self._last), self._dropped)

    def _line(self, record: logging.LogRecord) -> Line:
        level, name = clean_text(record.levelname, 20), clean_text(record.name, 100)
        room = self._room - OVERHEAD - len(name.encode()) - len(CUT.encode())
        return Line(record.created, level, name, _cut(self._mask(clean_text(_text_of(record))), room))


def _cut(text: str, size: int) -> str:
    """Return the text, or as many of its characters as fit into so many bytes, and a mark."""
    stored = text.encode()
    return text if len(stored) <= size else stored[: max(0, size)].decode(errors="ignore") + CUT


def _text_of(record: logging.LogRecord) -> str:
    """Return what the record says; of one that cannot be formatted, that."""
    try:
        parts = [record.getMessage()]
        if record.exc_info and record.exc_info[0] is not None:
            parts.append(_EXCEPTIONS.formatException(record.exc_info))
        if record.stack_info:
            parts.append(record.stack_info)
        return "\n".join(parts)
    except Exception as error:  # noqa: BLE001  (whatever the host's arguments raise)
        message: Any = record.msg
        text = message if type(message) is str else type(message).__name__  # no code of the host's runs again
        return f"(a line that cannot be formatted: {type(error).__name__}; {text})"


# Collecting what handlers write to the log, where ``HANDLER_LOGS`` says so, and storing it with their ends.
#
# A logging handler at the root, and at each logger that passes nothing on, gives each record to the attempt in whose
# context it was written: its thread or task, and what was started with a copy of that. It takes no part in the host's
# own logging, and no mistake in it reaches the job. Where the setting is off, nothing of this is there.


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
        loggers = [item for item in list(logging.root.manager.loggerDict.values()) if isinstance(item, logging.Logger)]
        for logger_of_host in [logging.root, *(item for item in loggers if not item.propagate)]:
            logger_of_host.addHandler(_collector)


def end(claimed: Claimed) -> KeptLines | None:
    """Return what was collected; None where that is nothing."""
    try:
        kept: KeptLines | None = claimed.log_lines.close()
        return kept
    except Exception as error:  # noqa: BLE001  (no job fails because of its lines)
        logger.warning("job_id=%s event=handler_logs_lost error=%r", claimed.job_id, error)
        return None
