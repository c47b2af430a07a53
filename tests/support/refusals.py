"""Refusals by their codes, which stay whatever their texts are."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import pytest


@contextlib.contextmanager
def refused(kind: type[Exception], code: str | dict[str, list[str]]) -> Iterator[pytest.ExceptionInfo[Any]]:
    """The block raises this exception: with this code, or with these codes by field."""
    with pytest.raises(kind) as caught:
        yield caught
    assert (caught.value.codes if isinstance(code, dict) else code_in(caught.value)) == code  # type: ignore[attr-defined]


def code_in(error: BaseException) -> str:
    """The code of an exception, or of the text that it was made with."""
    return str(getattr(error, "code", "") or getattr(error.args[0], "code", ""))
