"""The signals that a host may receive. They are sent after the commit, with ``sender=Job`` and ``status``, a JobStatus.

The process that acted sends them, at most once: a process that dies before that sends nothing. A receiver can neither
harm nor delay a job; its errors are logged. Worker and scheduler processes call receivers in a thread of their own, so
that a slow receiver delays nobody. If it falls far behind, further signals are dropped. For what must happen, use a
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
#: A handler raised, ran too long, or returned what cannot be stored. The worker process sends it once the end of the
#: attempt is stored, with the living ``exception``, whose traceback shows the handler. It is not sent for a handler
#: that was killed, was lost, asked for a later run, or was canceled.
job_attempt_failed: Final = Signal(use_caching=True)
#: The progress of a running job was written; at most once per PROGRESS_INTERVAL.
job_progressed: Final = Signal(use_caching=True)
