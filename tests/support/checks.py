"""What single system checks say."""

from __future__ import annotations

from django.core.checks import CheckMessage

from tests.support import verbs


def checked(*ids: str) -> list[CheckMessage]:
    """The messages of the checks of these ids, such as E014, alone."""
    return [message for row in verbs.CHECKS if row.id in ids for message in row.messages()]
