"""The linters that CI runs are those that tox and the hooks of pre-commit run."""

from __future__ import annotations

import configparser
import os
import re
import tomllib
from pathlib import Path
from typing import Final

from tests.support.imports import PACKAGE, VENDORS

CHECKOUT: Final = Path(os.environ.get("DJANGO_JOBS_CHECKOUT") or Path(__file__).resolve().parents[2])


def of_ci() -> list[str]:
    """The commands of the development environment, as somebody types them who has activated it."""
    found = re.findall(
        r'^.*"\$work/py313/bin/(ruff|mypy)"(.*?)(?:; })?$', (CHECKOUT / ".ci" / "run").read_text(), re.MULTILINE
    )
    return [f"{tool}{arguments}" for tool, arguments in found]


def of_tox() -> list[str]:
    tox = configparser.ConfigParser(interpolation=None)
    tox.read(CHECKOUT / "tox.ini")
    return [
        line for section in ("testenv:lint", "testenv:types") for line in tox[section]["commands"].split("\n") if line
    ]


def of_pre_commit() -> list[str]:
    return re.findall(r"^ +entry: (.+)$", (CHECKOUT / ".pre-commit-config.yaml").read_text(), re.MULTILINE)


def test_the_same_linters_run_everywhere() -> None:
    assert of_ci() == of_tox() == of_pre_commit() == ["ruff check .", "ruff format --check .", "mypy"]


def test_ruff_bans_each_vendor_that_has_one_place() -> None:
    """The editor says so then, and not only the test of import direction."""
    ruff = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())["tool"]["ruff"]["lint"]
    banned = ruff["flake8-tidy-imports"]["banned-api"]
    assert banned.keys() == VENDORS.keys()
    assert [name for name, place in VENDORS.items() if f"Only {PACKAGE}.{place} " not in banned[name]["msg"]] == []
