"""``python -m django_jobs.worker``: how the supervisor starts a child.

Each child is a fresh interpreter, because it is not safe to fork a process that has threads and connections.
"""

from __future__ import annotations

import gc
import logging
import os
import sys

import django

from django_jobs.worker.exit_codes import RECYCLED, WorkerFailed
from django_jobs.worker.stacks import leave_stacks_in


def main(name: str, options: str, shared_slots: str, stacks: str, supervisor: str) -> int:
    """Run the child ``name`` and return its exit code. Raises WorkerFailed.

    ``shared_slots`` and ``stacks`` are inherited descriptors, ``supervisor`` is a process id.
    """
    leave_stacks_in(int(stacks))
    django.setup()  # before the engine's modules, which need the models

    from django_jobs.engine import logs, ports
    from django_jobs.engine.insight import signal_delivery
    from django_jobs.worker.child import Child
    from django_jobs.worker.child_state import ChildState
    from django_jobs.worker.options import WorkerOptions
    from django_jobs.worker.shared_slots import SharedSlots

    logs.install()
    gc.collect()
    gc.freeze()  # what was loaded until now stays for good: no collection looks at it again
    signal_delivery.work_in_background()
    given = WorkerOptions.from_json(options)
    consumer = ports.get_broker().consumer(name, given.queues)
    child = Child(ChildState(name, given, consumer, SharedSlots(int(shared_slots), given.threads)), int(supervisor))
    child.run()
    signal_delivery.stop()
    return RECYCLED if child.is_recycled else 0


if __name__ == "__main__":
    code = 1
    try:
        code = main(*sys.argv[1:])
    except WorkerFailed as reason:
        code = reason.code
        logging.getLogger("django_jobs").warning("event=worker_gave_up worker=%s reason=%s", sys.argv[1], reason)
    except Exception:
        logging.getLogger("django_jobs").exception("event=worker_failed")
    finally:
        logging.shutdown()
        os._exit(code)  # threads that a handler left behind must not keep the process alive
