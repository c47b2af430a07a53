"""Pretended services outside of the database. What they do cannot be rolled back, and now and then they fail.

Each is asked with a key, and does the same thing once for the same key, as payment providers do.
"""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path
from time import sleep
from types import SimpleNamespace
from typing import Final, NamedTuple

from django.conf import settings

from django_jobs import PermanentError, RetryLater, TransientError


class UnavailableError(Exception):
    """An error of the provider's web server, in the form in which HTTP libraries raise it."""

    def __init__(self, status_code: int, headers: dict[str, str]) -> None:
        super().__init__(f"HTTP {status_code}")
        self.response = SimpleNamespace(status_code=status_code, headers=headers)


BACK_IN: Final = 2
MOST_BUSY: Final = 9
ALWAYS_BUSY: Final = 99


def send_fax(number: str, *, key: str, attempt: int) -> str:
    """Send a fax and return a receipt.

    The end of the number decides how that fails, as the test cards of payment providers do: ``0000`` is out of service,
    ``0001`` to ``0009`` are busy that many times, ``0099`` always, ``0429`` and ``0503`` ask to come back in 2 seconds.
    """
    ending = int(number[-4:])
    if ending == 0:
        raise PermanentError(f"{number} is not in service.")
    if ending == 429 and attempt == 1:  # noqa: PLR2004
        raise RetryLater(BACK_IN, f"Too many faxes; come back in {BACK_IN} s.")
    if ending == 503 and attempt == 1:  # noqa: PLR2004
        raise UnavailableError(503, {"Retry-After": str(BACK_IN)})
    if ending == ALWAYS_BUSY or attempt <= ending <= MOST_BUSY:
        raise TransientError(f"{number} is busy.")
    return f"FAX-{key}"


def outage() -> Path:
    """Return the path of a file: while there is one, the marketplace is down."""
    path: Path = settings.PROVIDERS_DIR / "marketplace-is-down"
    return path


def publish(sku: str, *, key: str, seconds: float) -> str:
    """Put a product on sale and return its number there. It takes so many seconds: there is time to cancel."""
    if outage().exists():
        raise ConnectionError("The marketplace does not answer")
    sleep(seconds)
    return f"MARKET-{sku}-{key}"


SERVICES: Final = ("charge", "book", "mail")


class Call(NamedTuple):
    """The process ``pid`` asked a service for something. Of the same key it does that once, at the first call."""

    service: str
    invoice: str
    key: str
    pid: int


def ask(service: str, invoice: str, *, key: str, run: str, seconds: float) -> str:
    """Have a service do something for an invoice, and return its receipt. ``run`` names what all of this belongs to.

    It takes so many seconds. A process that is killed meanwhile does not know whether it was done.
    """
    settings.PROVIDERS_DIR.mkdir(parents=True, exist_ok=True)
    with calls_log(run).open("a") as log:  # written at once, so that lines of several processes do not mix
        log.write(f"{service}\t{invoice}\t{key}\t{os.getpid()}\n")
    sleep(seconds)
    return f"{service.upper()}-{invoice}"


def calls(run: str) -> list[Call]:
    """Return all calls of a run, in their order."""
    lines = calls_log(run).read_text().splitlines() if calls_log(run).exists() else []
    rows = (line.split("\t") for line in lines)
    return [Call(service, invoice, key, int(pid)) for service, invoice, key, pid in rows]


def done(run: str) -> Counter[tuple[str, str]]:
    """Return how often each service did something for each invoice of a run, by (service, invoice)."""
    return Counter((service, invoice) for service, invoice, _ in {call[:3] for call in calls(run)})


def calls_log(run: str) -> Path:
    path: Path = settings.PROVIDERS_DIR / f"{run}.log"
    return path
