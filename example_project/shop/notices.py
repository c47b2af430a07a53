"""The texts of short mails. ``{…}`` is filled in from the result of the job that the notice is about."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, kw_only=True)
class Notice:
    """A text. ``about`` is the type of the job whose result it quotes."""

    about: str
    subject: str
    text: str


NOTICES: Final = {
    "fax_sent_confirmation": Notice(
        about="fax_send",
        subject="Your fax to {fax_number} was sent",
        text="{document} went to {fax_number}: {pages} pages, receipt {receipt}.",
    ),
    "import_finished": Notice(
        about="csv_import",
        subject="{imported} customers were imported",
        text="Of {rows} rows {imported} were imported; {bad} need your attention.",
    ),
}
WELCOME_SUBJECT: Final = "Welcome to {shop}"
WELCOME_TEXT: Final = "Dear {name},\n\nthank you for your interest in {shop}.\n"
