"""What our log records carry besides their text, and that each event is one line."""

from __future__ import annotations

import io
import logging
import threading
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from django_jobs.engine import claimed_job
from django_jobs.engine.actors import Actor
from django_jobs.engine.insight import events
from django_jobs.engine.insight.events import FIELDS
from django_jobs.statuses import ActorKind
from tests.support import verbs
from tests.support.verbs import Moved


@pytest.fixture
def handler() -> Iterator[logging.Handler]:
    """A handler of the host's own, on a logger of its own."""
    handler, shop = logging.StreamHandler(io.StringIO()), logging.getLogger("shop")
    shop.addHandler(handler)
    yield handler
    shop.removeHandler(handler)


@pytest.fixture
def running_job() -> Iterator[None]:
    """As if a handler ran."""
    claimed: Any = SimpleNamespace(job_id="JOB-1", job_type="report", organization="ORG-1", attempt=2)
    token = verbs.current_job.set(claimed)
    yield
    verbs.current_job.reset(token)


def record_of(text: str, *args: object, name: str = "django_jobs", extra: Any = None) -> logging.LogRecord:
    """What a handler with our filter makes of a line."""
    record = logging.getLogger(name).makeRecord(name, logging.INFO, "", 0, text, args, None, extra=extra)
    assert claimed_job.JobFields().filter(record)
    return record


def values(record: logging.LogRecord) -> tuple[object, ...]:
    return tuple(getattr(record, field) for field in FIELDS)


def test_a_line_of_a_handler_carries_its_job(running_job: None) -> None:
    assert values(record_of("asking the gateway", name="shop")) == ("JOB-1", "report", "ORG-1", 2, "")


def test_a_line_outside_of_a_job_has_empty_fields() -> None:
    assert values(record_of("hello", name="shop")) == ("", "", "", 0, "")


def test_what_a_record_has_already_is_kept(running_job: None) -> None:
    fields = dict(zip(FIELDS, ("JOB-2", "mail", "ORG-2", 1, "failed"), strict=True))
    record = record_of("job_id=%s event=%s", "JOB-2", "failed", extra=fields)
    assert values(record) == ("JOB-2", "mail", "ORG-2", 1, "failed")


def test_the_event_of_our_own_lines_is_an_attribute(subtests: pytest.Subtests) -> None:
    cases: list[tuple[str, tuple[object, ...], str]] = [
        ("event=child_started worker=%s pid=%s", ("w", 1), "child_started"),
        ("event=%s count=%s", ("prune", 3), "prune"),
        ("event=housekeeper_%s_failed worker=%s", ("beat", "w"), "housekeeper_beat_failed"),
        ("job_id=%s event=files_not_deleted error=%r", ("JOB-1", OSError()), "files_not_deleted"),
        ("event=duty_failed duty=%s error=%r", ("lead", "x event=forged"), "duty_failed"),
        ("nothing happened", (), ""),
    ]
    for text, args, event in cases:
        with subtests.test(text=text, args=args, event=event):
            assert values(record_of(text, *args))[-1] == event


def test_the_event_of_a_strangers_line_is_not_ours() -> None:
    assert values(record_of("event=sold", name="shop"))[-1] == ""


def test_installing_reaches_every_handler_once(handler: logging.Handler) -> None:
    verbs.install_job_fields()
    verbs.install_job_fields()
    assert [type(item) for item in handler.filters] == [claimed_job.JobFields]


def test_a_thread_of_the_handlers_own_does_not_know_the_job(running_job: None) -> None:
    records: list[logging.LogRecord] = []
    thread = threading.Thread(target=lambda: records.append(record_of("from a thread", name="shop")))
    thread.start()
    thread.join()
    assert values(records[0]) == ("", "", "", 0, "")


def move(message: str, actor: str = "system") -> Moved:
    return Moved(
        pk=1,
        from_status="Running",
        to_status="Failed",
        attempt=1,
        job_type="report",
        organization_name="ORG-1",
        priority=2,
        year=2026,
        message=message,
        actor=Actor(actor, ActorKind.SYSTEM),
        worker_name="",
    )


@pytest.mark.parametrize("evil", ["\n", "\r\n", "\x1b[2J", "\x85", "\u2028", "\x0b"])
def test_what_an_error_says_stays_on_the_line_of_its_event(caplog: pytest.LogCaptureFixture, evil: str) -> None:
    forged = f"no{evil}job_id=JOB-2026-00009 event=completed"
    events._log([move(forged, actor=f"a{evil}b")])
    (line,) = caplog.messages
    assert len(line.splitlines()) == 1
    assert evil not in line
    assert "event=completed" in line


def test_a_text_that_needs_no_escape_is_logged_as_it_is(caplog: pytest.LogCaptureFixture) -> None:
    events._log([move("Größe: 5\u00a0m, 日本")])
    assert caplog.messages[0].endswith(" by=system Größe: 5\u00a0m, 日本")


def test_names_in_a_submission_stay_on_its_line(caplog: pytest.LogCaptureFixture) -> None:
    job: Any = SimpleNamespace(name="JOB-1", job_type_id="report", organization_name="A\nB", owner_name="C\nD")
    with caplog.at_level(logging.INFO, "django_jobs"):
        events._log_submitted([job])
    (line,) = caplog.messages
    assert line == r"job_id=JOB-1 event=submitted job_type=report organization=A\nB owner=C\nD"
