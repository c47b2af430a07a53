"""The units for systemd."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from lab.deploying import files

#: The worst that ``systemd-analyze security`` may say of a service that runs handlers, from 0.0 to 10.0: its "OK".
EXPOSURE = 50


def analyze(*arguments: str | Path) -> str:
    """What systemd-analyze has to say, on both streams."""
    command = ["systemd-analyze", *map(str, arguments)]
    run = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    return f"{run.stdout}exit code {run.returncode}"


@pytest.fixture
def installed(tmp_path: Path) -> Path:
    """The units in a directory, with programs where they expect them."""
    for name in ("python", "uvicorn"):
        (tmp_path / name).symlink_to(sys.executable)
    for path in (files.FILES / "systemd").iterdir():
        (tmp_path / path.name).write_text(path.read_text().replace(files.VENV, f"{tmp_path}/"))
    return tmp_path


def test_systemd_has_nothing_to_say_against_the_units(installed: Path) -> None:
    units = [*installed.glob("*.service"), *installed.glob("*.target")]
    assert len(units) == 5
    assert analyze("verify", "--man=no", "--recursive-errors=no", *units) == "exit code 0"


def test_a_mistake_in_a_unit_would_be_found(installed: Path) -> None:
    worker = installed / "shop-worker.service"
    worker.write_text(worker.read_text().replace("KillMode=mixed", "KillMode=mixde"))
    assert "Failed to parse kill mode" in analyze("verify", "--man=no", worker)


@pytest.mark.parametrize("part", ["web", "worker", "scheduler"])
def test_the_services_are_shut_off_from_the_rest_of_the_machine(installed: Path, part: str) -> None:
    said = analyze("security", "--offline=yes", f"--threshold={EXPOSURE}", installed / f"shop-{part}.service")
    assert said.endswith("exit code 0"), said


def test_a_worker_is_given_the_time_and_the_order_that_its_end_needs() -> None:
    service = files.unit(files.FILES / "systemd" / "shop-worker.service")["Service"]
    assert (service["KillMode"], service["Restart"], service["OOMPolicy"]) == ("mixed", "always", "continue")
    assert int(service["TimeoutStopSec"]) > files.WORKER_SECONDS


def test_systemd_is_there() -> None:
    assert shutil.which("systemd-analyze"), "These tests need Debian's package systemd."
