"""The options of ``jobs_worker``, for the supervisor and its children."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Collection, Iterable

from django_jobs.conf import DEFAULT_POOL
from django_jobs.texts import say


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class WorkerOptions:
    """``processes`` children with ``threads`` slots each, which serve ``queues``: without any, the default pool's.

    ``pool`` is the one that they are for, as their names say.

    A child is replaced after ``max_jobs``, or when it holds more than ``max_memory`` megabytes.
    """

    processes: int = 2
    threads: int = 1
    queues: tuple[str, ...] = ()
    pool: str = DEFAULT_POOL
    burst: bool = False
    scheduler: bool = True
    max_jobs: int | None = None
    max_memory: int | None = None
    #: The name by which the supervisor of these processes is given orders.
    supervisor: str = ""

    @property
    def slots(self) -> int:
        """How many slots a child shows its supervisor: where several jobs run at a time, coroutines have their own."""
        return self.threads if self.threads == 1 else 2 * self.threads

    def to_json(self) -> str:
        """Return the options as a command line argument for a child."""
        return json.dumps(dataclasses.asdict(self))

    @classmethod
    def from_json(cls, text: str) -> WorkerOptions:
        """Return the options that :meth:`to_json` wrote."""
        values = json.loads(text)
        return cls(**{**values, "queues": tuple(values["queues"])})


def parse_queues(words: Iterable[str], known: Collection[str]) -> tuple[str, ...]:
    """Return the queues named in ``words``, each once, in their order; a word may hold several, separated by commas.

    Raises ValueError for a name that is not ``known``, since nothing is ever put into such a queue.
    """
    words = list(words)
    names = dict.fromkeys(name for word in words for name in word.replace(",", " ").split())
    for name in names:
        if name not in known:
            text = "There is no queue %(name)r. DJANGO_JOBS['QUEUES'] has %(known)s."
            raise ValueError(say(text, code="unknown_queue", name=name, known=", ".join(known)))
    if words and not names:
        text = "It names no queue. DJANGO_JOBS['QUEUES'] has %(known)s."
        raise ValueError(say(text, code="names_nothing", known=", ".join(known)))
    return tuple(names)
