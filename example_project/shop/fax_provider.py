"""A pretended fax provider that fails now and then, always in the same way for the same question.

The end of a number decides, as the test cards of payment providers do:

========== ===========================================================
``0000``   not in service: for good
``0001``   busy at the first attempt; ``0002`` at the first two, and so on until ``0009``
``0099``   busy at every attempt
``0429``   at the first attempt: too many faxes, come back in 2 seconds
``0503``   at the first attempt: service unavailable, as an HTTP error
others     busy once in a while, which one depends on the seed
========== ===========================================================
"""

from __future__ import annotations

from dataclasses import dataclass, field
from random import Random
from typing import Final

BUSY_SHARE: Final = 0.2
BACK_IN: Final = 2
MOST_BUSY: Final = 9


class FaxError(Exception):
    """The fax was not sent."""


class LineBusyError(FaxError):
    """Nobody picked up. It may work in a while."""


class NotInServiceError(FaxError):
    """There is no such number."""


class TooManyFaxesError(FaxError):
    """The provider accepts no fax for ``retry_after`` seconds."""

    def __init__(self, retry_after: float) -> None:
        super().__init__(f"Too many faxes; come back in {retry_after:g} s")
        self.retry_after = retry_after


@dataclass(frozen=True)
class Response:
    status_code: int
    headers: dict[str, str] = field(default_factory=dict)


class UnavailableError(FaxError):
    """An error of the provider's web server, in the form in which HTTP libraries raise it."""

    def __init__(self, response: Response) -> None:
        super().__init__(f"HTTP {response.status_code}")
        self.response = response


@dataclass(frozen=True, kw_only=True)
class Receipt:
    number: str
    pages: int


def send_fax(number: str, document: str, *, key: str, attempt: int = 1, seed: int = 1) -> Receipt:
    """Send the document. Calls with the same ``key`` send it once."""
    ending = number[-4:]
    if ending == "0000":
        raise NotInServiceError(f"{number} is not in service")
    if ending == "0429" and attempt == 1:
        raise TooManyFaxesError(BACK_IN)
    if ending == "0503" and attempt == 1:
        raise UnavailableError(Response(503, {"Retry-After": str(BACK_IN)}))
    if is_busy(number, document, attempt, seed):
        raise LineBusyError(f"{number} is busy")
    return Receipt(number=f"FAX-{key}", pages=Random(document).randint(1, 9))


def is_busy(number: str, document: str, attempt: int, seed: int) -> bool:
    ending = int(number[-4:])
    if ending <= MOST_BUSY:
        return attempt <= ending
    if ending in {99, 429, 503}:
        return ending == 99  # noqa: PLR2004  (see the table above)
    return Random(f"{seed} {number} {document} {attempt}").random() < BUSY_SHARE
