"""A real Prometheus that scrapes what a test has started, and its ``promtool``."""

from __future__ import annotations

import json
import shutil
import subprocess
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import pytest

from tests.support.addresses import free_port
from tests.support.probes import code_of
from tests.support.waiting import wait_until

ADVICE: Final = "is not on this machine (Debian: apt-get install prometheus)"


def program(name: str) -> str:
    """The path of ``prometheus`` or ``promtool``; a test that needs it is skipped where there is none."""
    found = shutil.which(name)
    if found is None:
        pytest.skip(f"{name} {ADVICE}")
    return found


def promtool(*arguments: str, text: str | None = None) -> str:
    """What it says; the test fails if it complains."""
    done = subprocess.run(
        [program("promtool"), *arguments], input=text, capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


class RunningPrometheus:
    """Asks one process for its metrics, twice a second."""

    def __init__(self, port: int) -> None:
        self._url = f"http://127.0.0.1:{port}/api/v1/query"

    def value(self, query: str) -> float | None:
        """The value of a query that has one number; None where it has none."""
        with urllib.request.urlopen(f"{self._url}?{urllib.parse.urlencode({'query': query})}", timeout=30) as answer:
            found: list[dict[str, Any]] = json.load(answer)["data"]["result"]
        return float(found[0]["value"][1]) if found else None

    def wait_for(self, query: str, value: float) -> None:
        wait_until(lambda: self.value(query) == value, 60, f"{query} = {value}, not {self.value(query)}")


@contextmanager
def prometheus_of(target: int, directory: Path) -> Iterator[RunningPrometheus]:
    """A Prometheus that scrapes the port ``target`` of this machine."""
    directory.mkdir()
    config, port = directory / "prometheus.yml", free_port()
    scrapes = [{"job_name": "django_jobs", "static_configs": [{"targets": [f"127.0.0.1:{target}"]}]}]
    # Every JSON is a YAML.
    config.write_text(json.dumps({"global": {"scrape_interval": "500ms"}, "scrape_configs": scrapes}))
    options = [f"--config.file={config}", f"--storage.tsdb.path={directory}", f"--web.listen-address=127.0.0.1:{port}"]
    with (directory / "log").open("wb") as log:
        process = subprocess.Popen([program("prometheus"), *options], stdout=log, stderr=log)
    try:
        wait_until(lambda: code_of(port, "/-/ready") == 200, 60, "a Prometheus that is ready")
        yield RunningPrometheus(port)
    finally:
        process.kill()
        process.wait()
