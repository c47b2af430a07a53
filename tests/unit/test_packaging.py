"""What the distributions hold, built from the checkout also when an installed wheel is under test."""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
import zipfile
from email import message_from_bytes
from email.message import Message
from pathlib import Path

import pytest

import django_jobs

CHECKOUT = Path(os.environ.get("DJANGO_JOBS_CHECKOUT") or Path(__file__).resolve().parent.parent.parent)
PACKAGE = CHECKOUT / "django_jobs"
WITHOUT_SETTINGS = {name: value for name, value in os.environ.items() if not name.startswith("DJANGO_")}


@pytest.fixture(scope="module")
def distributions(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory of a wheel and a source distribution, built by the backend of pyproject.toml."""
    directory = tmp_path_factory.mktemp("dist")
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-t", "sdist", "-d", str(directory)]
    subprocess.run(build, cwd=CHECKOUT, check=True, capture_output=True, text=True)
    return directory


@pytest.fixture(scope="module")
def wheel(distributions: Path) -> Path:
    (path,) = distributions.glob("*.whl")
    return path


@pytest.fixture(scope="module")
def names(wheel: Path) -> set[str]:
    with zipfile.ZipFile(wheel) as archive:
        return set(archive.namelist())


@pytest.fixture(scope="module")
def metadata(wheel: Path) -> Message:
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        return message_from_bytes(archive.read(name))


def test_the_wheel_holds_the_package_and_nothing_beside_it(names: set[str]) -> None:
    version = django_jobs.__version__

    assert {name.split("/")[0] for name in names} == {
        "django_jobs",
        f"django_durable_jobs-{version}.dist-info",
    }


def test_the_wheel_holds_every_file_of_the_package(names: set[str]) -> None:
    """Templates, static files, migrations and compiled translations as well: git ignores none of them."""
    files = {
        path.relative_to(CHECKOUT).as_posix()
        for path in PACKAGE.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }

    assert {name for name in names if name.startswith("django_jobs/")} == files
    assert "django_jobs/py.typed" in names


def test_the_metadata_name_the_distribution_its_version_and_its_extras(metadata: Message) -> None:
    assert metadata["Name"] == "django-durable-jobs"
    assert metadata["Version"] == django_jobs.__version__
    assert metadata["Requires-Python"] == ">=3.11"
    assert {"demo", "test", "postgres", "mariadb", "openapi"} <= set(metadata.get_all("Provides-Extra", []))


def test_the_changelog_begins_with_this_version() -> None:
    entries = [line for line in (CHECKOUT / "CHANGELOG.md").read_text().splitlines() if line.startswith("## ")]
    assert entries[0].removeprefix("## ").partition(",")[0] == django_jobs.__version__


def test_the_wheel_carries_the_license(names: set[str]) -> None:
    assert any(name.endswith(".dist-info/licenses/LICENSE") for name in names)


def test_the_source_distribution_can_run_its_own_tests(distributions: Path) -> None:
    (path,) = distributions.glob("*.tar.gz")
    with tarfile.open(path) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}

    assert {
        "pyproject.toml",
        "manage.py",
        "tests/support/fixtures.py",
        "example_project/settings.py",
        "LICENSE",
    } <= names


def test_the_package_imports_without_settings(wheel: Path, tmp_path: Path) -> None:
    """A host may import it at the top of its settings."""
    look = (
        f"import sys; sys.path.insert(0, {str(wheel)!r}); import django_jobs;"
        "from django.conf import settings; assert not settings.configured; print(django_jobs.__file__)"
    )
    result = subprocess.run(
        [sys.executable, "-I", "-W", "error", "-c", look],
        cwd=tmp_path,
        env=WITHOUT_SETTINGS,
        check=True,
        capture_output=True,
        text=True,
    )

    assert result.stdout.startswith(str(wheel))
