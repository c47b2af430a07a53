"""The Procfile, run by honcho as a person would: everything starts, a job completes, and SIGTERM ends it in order."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.db import connection

from django_jobs import submit_job, wait_for_job
from lab.deploying import files
from tests.support.addresses import HOST, free_port
from tests.support.databases import database_url
from tests.support.factories import make_organization
from tests.support.waiting import wait_until

PATIENCE = 60.0
#: honcho with the patience of a platform: its own ends after five seconds, which a slow machine may need.
HONCHO = f"from honcho import command, manager; manager.KILL_WAIT = {PATIENCE / 2}; command.main()"


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    """An environment of production, for the example project's own settings."""
    return {
        **{name: value for name, value in os.environ.items() if not name.startswith("DJANGO_")},
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "DEBUG": "0",
        "SECRET_KEY": "of-this-test",
        "ALLOWED_HOSTS": HOST,
        "DATABASE_URL": database_url(connection.settings_dict),
        "VAR_DIR": str(tmp_path / "var"),
        "STATIC_ROOT": str(tmp_path / "static"),
        "PYTHONUNBUFFERED": "1",
    }


@pytest.fixture
def site(transactional_db: None, redis_client: object, tmp_path: Path, environ: dict[str, str]) -> Iterator[Site]:
    collect = [sys.executable, "manage.py", "collectstatic", "--noinput", "-v", "0"]
    subprocess.run(collect, cwd=files.ROOT, env=environ, check=True)
    made = Site(tmp_path, environ)
    yield made
    made.close()


class Site:
    """What the Procfile starts, at ports of its own."""

    def __init__(self, directory: Path, environ: dict[str, str]) -> None:
        port, worker, scheduler = (free_port() for _ in range(3))
        self.web, self.worker, self.scheduler = (f"http://{HOST}:{number}" for number in (port, worker, scheduler))
        self.log = directory / "log"
        path = directory / "Procfile"
        ports = {"9808": str(worker), "9809": str(scheduler)}
        text = (files.FILES / "Procfile").read_text()
        path.write_text(re.sub("|".join(ports), lambda found: ports[found[0]], text))
        honcho = [sys.executable, "-c", HONCHO, "-f", str(path), "-d", str(files.ROOT), "start", "--port", str(port)]
        with self.log.open("wb") as log:
            self.popen = subprocess.Popen(
                [*honcho, "web", "worker", "scheduler"], env=environ, stdout=log, stderr=log, start_new_session=True
            )

    def wait_for(self, url: str) -> None:
        """Until a process answers well."""
        wait_until(lambda: answers(url), PATIENCE, f"{url}:\n{self.log.read_text()}")

    def terminate(self) -> str:
        """Send SIGTERM to the first process alone, and return the log once it has ended."""
        self.popen.send_signal(signal.SIGTERM)
        self.popen.wait(PATIENCE)
        return self.log.read_text()

    def close(self) -> None:
        """End what a failed test left."""
        if self.popen.poll() is None:
            os.killpg(self.popen.pid, signal.SIGKILL)
            self.popen.wait()


def answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=10) as answer:
            return bool(answer.status == 200 and answer.read())
    except OSError:
        return False


def test_it_serves_runs_a_job_and_ends_in_order(site: Site) -> None:
    job = submit_job("pdf_generation", make_organization())
    for url in (f"{site.web}/static/admin/css/base.css", f"{site.web}/health/ready", f"{site.worker}/ready"):
        site.wait_for(url)
    site.wait_for(f"{site.scheduler}/ready")
    assert wait_for_job(job, timeout=PATIENCE).status == "Completed"
    log = site.terminate()
    # uvicorn ends by the signal itself.
    for end in ("web.1 stopped (rc=-15)", "worker.1 stopped (rc=0)", "scheduler.1 stopped (rc=0)"):
        assert end in log, log
