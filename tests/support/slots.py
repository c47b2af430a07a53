"""How many jobs the workers of acceptance tests run at once in a child, and whether as coroutines: ``--slots``.

A test that is about one of these ways says ``--threads`` or names an async handler itself, and means the same in all.
"""

from __future__ import annotations

import enum
from importlib import import_module


class Slots(enum.StrEnum):
    """The ways to run jobs."""

    #: One at a time, in the child's main thread.
    ONE = "one"
    #: Ten at a time, each in a thread.
    THREADS = "threads"
    #: Ten at a time, as coroutines in one event loop where a handler has a twin that is one.
    COROUTINES = "coroutines"


_chosen = Slots.ONE


def choose(slots: Slots) -> None:
    """Let workers that are started and job types that are made from now on be of this way."""
    global _chosen  # noqa: PLW0603
    _chosen = slots


def count() -> int:
    """Return how many jobs a child runs at once."""
    return 1 if _chosen is Slots.ONE else 10


def worker_options(options: tuple[str, ...]) -> tuple[str, ...]:
    """Return a worker's options, with ``--threads`` unless they say how many or one slot is enough."""
    return options if _chosen is Slots.ONE or "--threads" in options else ("--threads", str(count()), *options)


def handler_path(name: str, package: str = "tests.support") -> str:
    """Return the path of a handler of this package, or of its twin where jobs are to be coroutines."""
    twin = _chosen is Slots.COROUTINES and hasattr(import_module(f"{package}.coroutines"), name)
    return f"{package}.{'coroutines' if twin else 'handlers'}.{name}"
