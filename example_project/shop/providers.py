"""Pretended services outside of the database. What they do cannot be rolled back, and now and then they fail.

Each is asked with a key, and does the same thing once for the same key, as payment providers do.
"""

from __future__ import annotations

import os
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from time import sleep
from typing import Final, NamedTuple

from django.conf import settings


class LineBusyError(Exception):
    """Nobody picked up. It may work in a while."""


class NotInServiceError(Exception):
    """There is no such number."""


class TooManyFaxesError(Exception):
    """The provider accepts no fax for BACK_IN seconds."""


@dataclass(frozen=True)
class Response:
    status_code: int
    headers: dict[str, str] = field(default_factory=dict)


class UnavailableError(Exception):
    """An error of the provider's web server, in the form in which HTTP libraries raise it."""

    def __init__(self, response: Response) -> None:
        super().__init__(f"HTTP {response.status_code}")
        self.response = response


class MarketplaceDownError(Exception):
    """The marketplace does not answer."""


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
        raise NotInServiceError(f"{number} is not in service")
    if ending == 429 and attempt == 1:  # noqa: PLR2004
        raise TooManyFaxesError(f"Too many faxes; come back in {BACK_IN} s")
    if ending == 503 and attempt == 1:  # noqa: PLR2004
        raise UnavailableError(Response(503, {"Retry-After": str(BACK_IN)}))
    if ending == ALWAYS_BUSY or attempt <= ending <= MOST_BUSY:
        raise LineBusyError(f"{number} is busy")
    return f"FAX-{key}"


def outage() -> Path:
    """Return the path of a file: while there is one, the marketplace is down."""
    path: Path = settings.PROVIDERS_DIR / "marketplace-is-down"
    return path


def publish(sku: str, *, key: str, seconds: float) -> str:
    """Put a product on sale and return its number there. It takes so many seconds: there is time to cancel."""
    if outage().exists():
        raise MarketplaceDownError("The marketplace does not answer")
    sleep(seconds)
    return f"MARKET-{sku}-{key}"


CALLS: Final = "calls.log"
SERVICES: Final = ("charge", "book", "mail")


class Call(NamedTuple):
    """A service was asked for something by the process ``pid``."""

    service: str
    invoice: str
    pid: int


def ask(service: str, invoice: str, *, key: str, run: str, seconds: float) -> str:
    """Have a service do something for an invoice, and return its receipt. ``run`` names what all of this belongs to.

    It takes so many seconds. A process that is killed meanwhile does not know whether it was done.
    """
    place = place_of(run)
    place.mkdir(parents=True, exist_ok=True)
    with (place / CALLS).open("a") as calls_log:  # written at once, so that lines of several processes do not mix
        calls_log.write(f"{service} {invoice} {os.getpid()}\n")
    sleep(seconds / 2)
    # The same key is the same file, made in one go.
    (place / f"{service} {invoice} {key.replace('/', '_')}.receipt").touch()
    sleep(seconds / 2)
    return f"{service.upper()}-{invoice}"


def calls(run: str) -> list[Call]:
    """Return all calls of a run, in their order."""
    path = place_of(run) / CALLS
    lines = path.read_text().splitlines() if path.exists() else []
    return [Call(service, invoice, int(pid)) for service, invoice, pid in map(str.split, lines)]


def done(run: str) -> Counter[tuple[str, ...]]:
    """Return how often each service did something for each invoice of a run, by (service, invoice)."""
    return Counter(tuple(file.name.split()[:2]) for file in place_of(run).glob("*.receipt"))


def place_of(run: str) -> Path:
    place: Path = settings.PROVIDERS_DIR / run
    return place
