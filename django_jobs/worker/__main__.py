"""``python -m django_jobs.worker``: a child in a fresh interpreter, where its supervisor cannot fork it."""

from __future__ import annotations

import sys

import django

from django_jobs.worker.stacks import leave_stacks_in


def main(name: str, options: str, shared_slots: str, stacks: str, *counts_and_supervisor: str) -> None:
    """Run the child ``name``, and end with its exit code.

    ``shared_slots``, ``stacks`` and what may come after them are inherited descriptors; the last is a process id, the
    supervisor's.
    """
    *counts, supervisor = map(int, counts_and_supervisor)
    leave_stacks_in(int(stacks))
    django.setup()  # before the engine's modules, which need the models

    from django_jobs.worker import child, processes

    processes.give_back_memory()
    child.start_child(name, options, supervisor, int(shared_slots), *counts)


if __name__ == "__main__":
    main(*sys.argv[1:])
