"""README.md's path from nothing to a completed job, walked as it is written."""

from __future__ import annotations

import json
import re
import urllib.parse
import urllib.request
from collections.abc import Iterator
from http.cookiejar import CookieJar
from importlib.metadata import distribution
from pathlib import Path
from typing import Final

import pytest
from websockets.sync.client import connect

from tests.support.server import SocketClient
from tests.support.walk import README, Walk, blocks, newcomer, requirements

#: Each takes half a second: a busy machine has joined the room of the job long before the last one.
WORDS: Final = 20


@pytest.fixture
def walk(tmp_path: Path) -> Iterator[Walk]:
    with newcomer(tmp_path) as walk:
        yield walk


class Visitor:
    """Somebody with cookies."""

    def __init__(self, site: str) -> None:
        self.site = site
        self.jar = CookieJar()
        self._opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(self.jar))

    def get(self, path: str) -> str:
        with self._opener.open(f"{self.site}{path}", timeout=30) as answer:
            return str(answer.read().decode())

    def send(self, path: str, **fields: str) -> str:
        """Fill in the form that is at the path; the page that follows."""
        token = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', self.get(path))
        assert token, f"no form at {path}"
        data = urllib.parse.urlencode({**fields, "csrfmiddlewaretoken": token[1]}).encode()
        with self._opener.open(f"{self.site}{path}", data, timeout=30) as answer:
            return str(answer.read().decode())

    @property
    def cookies(self) -> str:
        return "; ".join(f"{cookie.name}={cookie.value}" for cookie in self.jar)


def test_the_pasted_blocks_end_in_a_completed_job_and_a_bar_that_moves(walk: Walk) -> None:
    assert walk.paste_all()[-1].splitlines()[-1] == "{'words': 4}"
    alice = Visitor(walk.url)
    assert "<job-progress" not in alice.send("/accounts/login/?next=/", username="alice", password="wrong")
    assert alice.send("/accounts/login/?next=/", username="alice", password="alice").count("<job-progress") == 1
    page = alice.send("/", text=" ".join(map(str, range(WORDS))))
    job_id = page.partition('<job-progress job-id="')[2].partition('"')[0]

    with connect(
        walk.url.replace("http", "ws") + "/ws/jobs/", additional_headers={"Cookie": alice.cookies, "Origin": walk.url}
    ) as connection:
        socket = SocketClient(connection)
        socket.join(f"job:{job_id}")
        heard = socket.hear_until(job_id, "Completed")
    seen = [event["data"]["progress"] for event in heard if event["event"] == "job_progress"]
    assert seen == sorted(seen)
    assert len({percent for percent in seen if 0 < percent < 100}) >= 3
    job = json.loads(alice.get(f"/api/jobs/{job_id}/"))
    assert (job["status"], job["owner"], job["result"]) == ("Completed", "alice", {"words": WORDS})
    assert "customElements.define" in alice.get("/static/django_jobs/jobs.js")


def test_what_the_path_has_one_install_is_installed() -> None:
    assert requirements()[0] == "django-durable-jobs"
    for name in requirements():
        assert distribution(name).version


def test_the_path_is_made_of_files_and_commands_alone() -> None:
    assert {block.kind for block in blocks()} == {"sh", "python", "html"}


def test_readme_stays_short_and_leaves_rest_to_its_page() -> None:
    text = README.read_text()
    assert len(text.splitlines()) <= 150
    assert "HTTP/1.1" not in text
