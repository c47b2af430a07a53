"""``python -m django_jobs.worker``: a child in a fresh interpreter, where its supervisor cannot fork it."""

from __future__ import annotations

import sys

import django

from django_jobs.worker import processes


def main(name: str, options: str, shared_slots: str, stacks: str, supervisor: str) -> None:
    """Run the child ``name``, and end with its exit code.

    ``shared_slots`` and ``stacks`` are inherited descriptors, ``supervisor`` is a process id.
    """
    processes.leave_stacks_in(int(stacks))
    django.setup()  # before the engine's modules, which need the models

    from django_jobs.worker import child

    processes.give_back_memory()
    child.start_child(name, options, int(supervisor), int(shared_slots))


if __name__ == "__main__":
    main(*sys.argv[1:])
