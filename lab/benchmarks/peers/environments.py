"""Who is measured, and the virtual environments that keep them apart."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any, Final, NamedTuple

TABLE: Final = Path(__file__).parent / "peers.toml"
#: In an environment: what was asked for when it was filled.
MARK: Final = "requirements.txt"


class Peer(NamedTuple):
    """One row of the table: its adapter (module and class), and what has to be in its environment."""

    name: str
    adapter: str
    environment: str
    requirements: tuple[str, ...]


def read_table(text: str | None = None) -> dict[str, Peer]:
    """Return all peers by name, ours first."""
    table: dict[str, Any] = tomllib.loads(text if text is not None else TABLE.read_text())
    environments: dict[str, list[str]] = table["environments"]
    return {
        name: Peer(name, adapter, environment, tuple(environments[environment]) if environment else ())
        for name, (environment, adapter) in table["peers"].items()
    }


def prepare(peer: Peer, directory: Path) -> Path:
    """Return the interpreter of a peer's environment, made anew unless it holds what is asked for."""
    if not peer.environment:
        return Path(sys.executable)
    home = directory / peer.environment
    python, mark, wanted = home / "bin" / "python", home / MARK, "\n".join(sorted(peer.requirements))
    if not mark.is_file() or mark.read_text() != wanted:
        _run(sys.executable, "-m", "venv", "--clear", str(home))
        _run(str(python), "-m", "pip", "install", "--quiet", "psutil>=7", *peer.requirements)
        mark.write_text(wanted)
    return python


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command[:4])} … failed: {done.stderr.strip()[-800:]}")
