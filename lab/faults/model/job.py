"""A job of the model, and how a verb is refused."""

from __future__ import annotations

from dataclasses import dataclass

from django_jobs.statuses import Status


class Refused(Exception):
    """The verb is refused; ``name`` is the class of the exception that the contract names."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.name = name


@dataclass(slots=True, kw_only=True)
class ModelJob:
    """A job as the contract describes it."""

    pk: int
    kind: str
    organization: str
    priority: int
    work: str
    status: str = Status.PENDING
    attempt: int = 0
    retry_count: int = 0
    max_retries: int
    #: From when it may be dispatched; None while it waits for parents, runs or has ended.
    ready: int | None
    run_at: int
    expires: int | None
    parents: list[int]
    run_after: str
    worker: str = ""
    lease: int | None = None
    cancel: bool = False
    orphaned: bool = False
    #: Whether an attempt has begun since it was submitted, or started over.
    started: bool = False
    losses: int = 0
    #: The last attempt whose handler is known to have begun, and whether one vanished of which nobody knows it.
    begun: int = 0
    vanished: bool = False
    #: Whether it was alone in the hands of a worker that died before any handler began.
    died_alone: bool = False
    created: int
    #: When it ended, and in which order.
    ended: tuple[int, int, int] = (0, 0, 0)
