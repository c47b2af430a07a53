"""What a handler has stored of its work, and the attempt in whose name it is stored."""

from __future__ import annotations

from typing import Any, NamedTuple


class Attempt(NamedTuple):
    """One attempt of a job by one worker: what it stores counts only while it owns the job."""

    pk: int
    number: int
    worker_name: str


class NewStep(NamedTuple):
    """A step that was done just now.

    ``result`` is its JSON as text, ``seconds`` how long it took, ``digest`` that of its arguments.
    """

    position: int
    name: str
    result: str
    seconds: float
    digest: str


class StoredStep(NamedTuple):
    """A step that is stored, with its result as every later attempt will read it.

    ``digest`` is empty where a test says what is stored (``django_jobs.testing``).
    """

    position: int
    name: str
    result: Any
    digest: str = ""
