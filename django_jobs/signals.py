"""What a host may listen to. Sent with ``sender=Job`` and ``status``, a JobStatus, after the commit.

Sent by the process that acted, at most once: a process that dies in between sends nothing. A receiver can neither
harm nor delay a job; its errors are logged. Worker and scheduler processes call receivers in a thread of their own,
so that a slow one holds nobody up; if it falls far behind, what comes next is dropped. For what must happen, use a
child job.
"""

from __future__ import annotations

from typing import Final

from django.dispatch import Signal

#: A job was submitted and is committed.
job_submitted: Final = Signal(use_caching=True)
#: A worker has claimed the job: it is Running.
job_started: Final = Signal(use_caching=True)
#: The job is Completed, Canceled or Dead Letter.
job_finished: Final = Signal(use_caching=True)
#: A handler raised, or ran too long, or what it returned cannot be stored. Sent in the worker process once the end of
#: the attempt is stored, with ``exception``, alive: its traceback shows the handler. Not sent for a handler that was
#: killed or lost, asked for a later run, or was canceled.
job_attempt_failed: Final = Signal(use_caching=True)
#: The progress of a running job was written; at most once per PROGRESS_INTERVAL.
job_progressed: Final = Signal(use_caching=True)
