"""A language whose every text is the English one in brackets: what has none was not translated, or must not be."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from gettext import NullTranslations
from typing import Any, Final

from django.test import override_settings
from django.utils import translation
from django.utils.translation import trans_real

#: A language that Django knows, so that numbers and dates have its formats.
CODE: Final = "de"


class _Bracketed(NullTranslations):
    def gettext(self, message: str) -> str:
        return f"[{message.rpartition(trans_real.CONTEXT_SEPARATOR)[2]}]" if message else ""

    def ngettext(self, msgid1: str, msgid2: str, n: int) -> str:
        return self.gettext(msgid1 if n == 1 else msgid2)

    def language(self) -> str:
        return CODE

    def to_language(self) -> str:
        return CODE


@contextmanager
def speak_in_brackets() -> Iterator[None]:
    """Make German this language inside the block, and activate it, also for requests that ask for no language."""
    loaded: dict[str, Any] = trans_real._translations  # type: ignore[attr-defined]
    known = dict(loaded)
    with override_settings(LANGUAGE_CODE=CODE):
        loaded[CODE] = _Bracketed()
        try:
            with translation.override(CODE):
                yield
        finally:
            loaded.clear()
            loaded.update(known)
