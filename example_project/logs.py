"""How the example project writes its log."""

from __future__ import annotations

import logging
import time

JOB_FIELDS = ("event", "job_id", "job_type", "organization", "attempt")


class JobLineFormatter(logging.Formatter):
    """Time in UTC, level, logger and message, then the job that the record is about, if any.

    Workers set the job's fields on every record, other processes on none: what is absent is left out.
    """

    converter = time.gmtime

    def __init__(self) -> None:
        super().__init__("%(asctime)s.%(msecs)03dZ %(levelname)-7s %(name)s: %(message)s", "%Y-%m-%dT%H:%M:%S")

    def formatMessage(self, record: logging.LogRecord) -> str:
        line = super().formatMessage(record)
        found = {field: getattr(record, field, None) for field in JOB_FIELDS}
        facts = " ".join(f"{field}={value}" for field, value in found.items() if value not in (None, ""))
        return f"{line} [{facts}]" if facts else line
