"""Traces of real workers, which export their spans as they end."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from opentelemetry import trace

from django_jobs import submit_job
from tests.acceptance.steps import Stage, wait_for_all
from tests.support.exported_spans import VARIABLE
from tests.support.factories import make_job_type
from tests.support.traced import MODULES, observed
from tests.support.workers import ProcessPool


@pytest.mark.parametrize("slots", ["1", "3"])
def test_attempts_are_exported_linked_to_their_submission_before_the_worker_ends(
    slots: str, processes: ProcessPool, stage: Stage, settings: Any
) -> None:
    settings.DJANGO_JOBS = {**settings.DJANGO_JOBS, **MODULES}
    exported = stage.directory / "spans"
    apps = "django_jobs.contrib.opentelemetry tests.support.exported_spans.SpansToFile"
    environ = {"DJANGO_JOBS_TEST_APPS": apps, VARIABLE: str(exported)}
    worker = processes.worker("--threads", slots, settings=MODULES, environ=environ)
    kinds = [
        make_job_type(handler_method=f"tests.support.traced.{handler}") for handler in ("tell_span", "tell_span_async")
    ]
    with observed() as spans, spans.tracer.start_as_current_span("request"):
        jobs = [submit_job(kind, stage.organization) for kind in kinds for _ in range(3)]
    wait_for_all(jobs)
    worker.stop()

    assert sorted(Path(f"{exported}.processes").read_text().split()) == ["child", "supervisor"]
    ran = {span["attributes"]["messaging.message.id"]: span for span in read(exported)}
    submitted = {span.attributes["messaging.message.id"]: span for span in spans.named("submit") if span.attributes}
    assert ran.keys() == submitted.keys() == {job.name for job in jobs}
    for job in jobs:
        job.refresh_from_db()
        (link,) = ran[job.name]["links"]
        assert link["context"]["span_id"] == f"0x{trace.format_span_id(submitted[job.name].context.span_id)}"
        assert job.result is not None
        seen = {job.result["span_id"], *job.result.get("others", [])}
        assert {f"0x{trace.format_span_id(span_id)}" for span_id in seen} == {ran[job.name]["context"]["span_id"]}


def read(exported: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in exported.read_text().splitlines()]
