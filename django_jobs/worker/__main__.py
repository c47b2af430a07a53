"""``python -m django_jobs.worker``: how the supervisor starts a child.

A fresh interpreter, because forking a process that has threads and connections is not safe.
"""

from __future__ import annotations

import gc
import logging
import os
import sys

import django

from django_jobs.worker.giving_up import WORN_OUT, GaveUp
from django_jobs.worker.stacks import leave_stacks_in


def main(name: str, options: str, board: str, stacks: str, supervisor: str) -> int:
    """Run the child ``name`` and return its exit code.

    ``board`` and ``stacks`` are inherited descriptors, ``supervisor`` a process id.
    """
    leave_stacks_in(int(stacks))
    django.setup()  # before the engine's modules, which need the models

    from django_jobs.engine import logs
    from django_jobs.engine.insight import signal_delivery
    from django_jobs.worker.child import Child
    from django_jobs.worker.options import WorkerOptions

    logs.install()
    gc.collect()
    gc.freeze()  # what was loaded until now stays, so that no collection need look at it
    signal_delivery.work_in_background()
    child = Child(name, WorkerOptions.from_json(options), int(board), int(supervisor))
    child.run()
    signal_delivery.stop()
    return WORN_OUT if child.is_worn_out else 0


if __name__ == "__main__":
    code = 1
    try:
        code = main(*sys.argv[1:])
    except GaveUp as reason:
        code = reason.code
        logging.getLogger("django_jobs").warning("event=worker_gave_up worker=%s reason=%s", sys.argv[1], reason)
    except Exception:
        logging.getLogger("django_jobs").exception("event=worker_failed")
    finally:
        logging.shutdown()
        os._exit(code)  # a handler's stray threads must not keep a worker from leaving
