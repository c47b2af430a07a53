"""The examples of docs/tracing.md and docs/alerts.md."""

from __future__ import annotations

import pytest
from opentelemetry import trace

from django_jobs import submit_job
from django_jobs.models import Alert, Job, Organization
from django_jobs.signals import job_alert, job_attempt_failed, worker_process_started
from django_jobs.testing import run_jobs
from tests.support import verbs
from tests.support.alerts import make_alert
from tests.support.checks import checked
from tests.support.documents import run_examples
from tests.support.factories import make_job_type
from tests.support.sentry import captured

pytestmark = pytest.mark.usefixtures("broker")


def test_the_examples_of_traces_and_errors_do_what_they_say(
    organization: Organization, monkeypatch: pytest.MonkeyPatch
) -> None:
    providers: list[trace.TracerProvider] = []
    monkeypatch.setattr(trace, "set_tracer_provider", providers.append)
    names = run_examples("tracing.md", {"__name__": __name__})
    worker_process_started.send(sender=None, kind="child")
    worker_process_started.disconnect(names["set_up_tracing_in_workers"])
    (provider,) = providers
    provider.shutdown()  # type: ignore[attr-defined]

    with captured() as events:
        submit_job(make_job_type("fail_unexpectedly", max_retries=1), organization)
        run_jobs(retries=True)
    job_attempt_failed.disconnect(sender=Job, dispatch_uid="tell_sentry_of_retries")
    assert [event["level"] for event in events] == ["warning", "error"]
    assert events[0]["tags"]["organization"] == organization.name


def test_the_examples_of_alarms_do_what_they_say(settings: object, capsys: pytest.CaptureFixture[str]) -> None:
    names = run_examples("alerts.md", {"__name__": __name__})
    settings.DJANGO_JOBS = names["DJANGO_JOBS"]  # type: ignore[attr-defined]
    assert checked("E025") == []
    verbs.announce_alert(make_alert("dead_letters", facts={"count": 7, "seconds": 3600}))
    job_alert.disconnect(sender=Alert, dispatch_uid="tell_the_chat")
    assert "raised dead_letters" in capsys.readouterr().out
