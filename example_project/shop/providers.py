"""Pretended services outside of the database: payments, a ledger, mail. What they do cannot be rolled back.

Each is asked with a key, and does the same thing once for the same key, as payment providers do. It remembers that in
files. Beside them is a list of all calls, by which one can see how often it was asked.
"""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path
from time import sleep
from typing import Final, NamedTuple

from django.conf import settings

CALLS: Final = "calls.log"
SERVICES: Final = ("charge", "book", "mail")


class Call(NamedTuple):
    """Somebody asked a service for something; ``pid`` is the process that asked."""

    service: str
    subject: str
    pid: int


def ask(service: str, subject: str, *, key: str, run: str, seconds: float) -> str:
    """Have a service do something for an invoice, the ``subject``, and return its receipt.

    It takes so many seconds; a process that is killed meanwhile knows not whether it was done. ``run`` names what
    all of this belongs to.
    """
    place = _place(run)
    place.mkdir(parents=True, exist_ok=True)
    _append(place / CALLS, f"{service} {subject} {os.getpid()}\n")
    sleep(seconds / 2)
    receipt = f"{service.upper()}-{subject}"
    try:
        with (place / f"{key.replace('/', '_')}.receipt").open("x") as file:
            file.write(f"{service} {subject}\n")
    except FileExistsError:
        pass  # it was done before, and the answer is the same
    sleep(seconds / 2)
    return receipt


def calls(run: str) -> list[Call]:
    """Return all calls of a run, in their order."""
    path = _place(run) / CALLS
    lines = path.read_text().splitlines() if path.exists() else []
    return [Call(service, subject, int(pid)) for service, subject, pid in map(str.split, lines)]


def done(run: str) -> Counter[tuple[str, str]]:
    """Return how often each service did something for each invoice of a run, by (service, invoice)."""
    files = _place(run).glob("*.receipt")
    return Counter((service, subject) for service, subject in (file.read_text().split() for file in files))


def _place(run: str) -> Path:
    place: Path = settings.PROVIDERS_DIR / run
    return place


def _append(path: Path, line: str) -> None:
    """Write one line at once, so that lines of several processes do not mix."""
    with path.open("a") as file:
        file.write(line)
