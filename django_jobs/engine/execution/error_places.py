"""Where in the host's code an unexpected exception came from, so that two faults with one text are told apart.

A place is a module and a function: both stay when lines move and when the code is deployed to another directory.
"""

from __future__ import annotations

import re
import sysconfig
from collections.abc import Iterator
from types import CodeType
from typing import Any, Final, NamedTuple

_ENGINE: Final = "django_jobs"
_INSTALLED: Final = re.compile(r"[\\/](?:site|dist)-packages[\\/]")
_STANDARD: Final = tuple({sysconfig.get_path(name) for name in ("stdlib", "platstdlib")})
#: In names that were made while the program ran.
_NUMBER: Final = re.compile(r"\d{5,}|0x[0-9a-f]+", re.IGNORECASE)


class _Frame(NamedTuple):
    """A function that was running when the exception was raised."""

    module: str
    code: CodeType

    @property
    def package(self) -> str:
        return self.module.partition(".")[0]

    @property
    def is_installed(self) -> bool:
        return _INSTALLED.search(self.code.co_filename) is not None

    @property
    def is_foreign(self) -> bool:
        """Return whether it is of Python's standard library, or of the engine."""
        path = self.code.co_filename
        is_standard = path.startswith((*_STANDARD, "<frozen ")) and not self.is_installed
        return is_standard or self.package == _ENGINE


def place_of(error: BaseException) -> str:
    """Return module and function of the deepest frame that is the host's own code; "" where there is no frame.

    The host's own is what is not installed as a library, and the handler's package wherever that lies. Where there is
    none of these, the deepest frame counts.
    """
    frames = list(_frames(error))
    if not frames:
        return ""
    candidates = [frame for frame in frames if not frame.is_foreign]
    # The first one is the handler: a host may be installed as a package, like its libraries.
    own = [frame for frame in candidates if not frame.is_installed or frame.package == candidates[0].package]
    deepest = (own or candidates or frames)[-1]
    return _NUMBER.sub("<n>", f"{deepest.module}.{deepest.code.co_qualname}")


def _frames(error: BaseException) -> Iterator[_Frame]:
    traceback: Any = error.__traceback__
    while traceback is not None:
        frame = traceback.tb_frame
        yield _Frame(str(frame.f_globals.get("__name__", "")), frame.f_code)
        traceback = traceback.tb_next
