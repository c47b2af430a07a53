"""A clock for a server that a test moves at will: libfaketime (Debian's package of that name), where installed."""

from __future__ import annotations

from pathlib import Path


class ServerClock:
    """The clock of the processes that are started with :attr:`environ`."""

    def __init__(self, directory: Path) -> None:
        self._library = next(iter(sorted(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"))), None)
        self._file = directory / "offset"
        self.step(0.0)

    @property
    def is_installed(self) -> bool:
        """Whether it can be moved at all."""
        return self._library is not None

    @property
    def environ(self) -> dict[str, str]:
        """The environment of a server that goes by it."""
        if self._library is None:
            return {}
        return {
            "LD_PRELOAD": str(self._library),
            "FAKETIME_TIMESTAMP_FILE": str(self._file),
            "FAKETIME_NO_CACHE": "1",
            # Timers go on by the machine's clock, as they do when an administrator sets the time.
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        }

    def step(self, seconds: float) -> None:
        """Be so many seconds ahead of this machine's clock from now on, or behind."""
        # Renamed, since a server that finds the file empty ends.
        new = self._file.with_suffix(".new")
        new.write_text(f"{seconds:+.1f}s\n")
        new.chmod(0o644)
        new.replace(self._file)
