"""The signals that a host may receive. Those of jobs are sent after the commit, with ``sender=Job`` and ``status``, a
JobStatus.

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
#: An alarm was raised, or is over, as ``alert.is_open`` says; ``sender`` is the model Alert, ``alert`` its row,
#: ``text`` the alarm in one line of English. The scheduler that stored it sends this.
job_alert: Final = Signal(use_caching=True)
#: A process of ``jobs_worker`` or ``jobs_scheduler`` is about to work; ``sender`` is None, ``kind`` is "child",
#: "supervisor" or "scheduler". No fork follows any more, so this is the place to start the threads of a library. Its
#: receivers are called at once.
worker_process_started: Final = Signal()
