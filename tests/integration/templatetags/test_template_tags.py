from __future__ import annotations

import dataclasses
import datetime as dt
import html
import json
import re
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import AnonymousUser
from django.contrib.staticfiles import finders
from django.template import Context, Template
from django.test import RequestFactory
from django.utils import timezone
from django.utils.translation import gettext, override

from django_jobs import get_job_status, submit_job
from django_jobs.exceptions import JobNotFound
from django_jobs.models import Job, JobType, Organization
from django_jobs.templatetags import django_jobs as tags
from tests.support import verbs
from tests.support.brokers import job_in
from tests.support.factories import make_job_type, make_user
from tests.support.verbs import EXPIRED, JOB_PLURALS, JOB_WORDS

pytestmark = pytest.mark.usefixtures("broker")


@pytest.fixture
def job(organization: Organization) -> Job:
    return submit_job(make_job_type(), organization)


def render(
    job: Any, user: Any = None, *, options: str = "", secure: bool = False, request: bool = True, **values: Any
) -> str:
    found = RequestFactory().get("/", secure=secure)
    found.user = user or AnonymousUser()
    context = Context({"job": job, **values, **({"request": found} if request else {})})
    return Template(f"{{% load django_jobs %}}{{% job_progress job {options} %}}").render(context)


def store(job: Job, **values: Any) -> Job:
    """The row with what a handler might have left in it."""
    Job.objects.filter(pk=job.pk).update(**values)
    return Job.objects.get(pk=job.pk)


def state_in(markup: str) -> dict[str, Any]:
    found = re.search(r' job="([^"]*)"', markup)
    assert found is not None
    state: dict[str, Any] = json.loads(html.unescape(found[1]))
    return state


def test_it_shows_the_state_without_any_script(job: Job) -> None:
    markup = render(store(job, progress=42, progress_message="Page 3 of 7"))

    assert 'data-status="Pending"' in markup
    assert status_in(markup) == str(JOB_WORDS["Pending"])
    assert 'value="42"' in markup
    assert '<span part="message" dir="auto">Page 3 of 7</span>' in markup


def test_the_bar_is_told_to_screen_readers(job: Job) -> None:
    markup = render(store(job, progress=42))

    assert 'role="progressbar"' in markup
    spoken = JOB_WORDS["spoken"].format(status=JOB_WORDS["Pending"], percent=verbs.percent_in_words(42))
    assert f'aria-valuenow="42" aria-valuetext="{spoken}"' in markup


def test_it_takes_a_status(job: Job) -> None:
    assert f'job-id="{job.name}"' in render(get_job_status(job.name))


def test_it_takes_the_id_of_a_job_that_the_user_may_see(job: Job, organization: Organization) -> None:
    assert f'job-id="{job.name}"' in render(job.name, make_user(member_of=[organization]))


def test_an_id_that_the_user_may_not_know_of_is_not_found(job: Job) -> None:
    with pytest.raises(JobNotFound):
        render(job.name, make_user())


def test_the_script_starts_from_the_same_state(job: Job) -> None:
    state = state_in(render(store(job, progress=42)))

    assert (state["job_id"], state["status"], state["progress"]) == (job.name, "Pending", 42)


def test_what_a_handler_says_is_escaped_wherever_it_stands(job: Job) -> None:
    evil = "\"><script>alert('x')</script>"

    markup = render(store(job, progress_message=evil), options="label=job.progress_message room=job.progress_message")

    assert "<script" not in markup
    assert state_in(markup)["progress_message"] == evil


def test_nothing_in_it_is_inline(job: Job) -> None:
    assert not re.search(r"<script|<style| style=| on\w+=", render(job))


def test_it_knows_where_rest_is(job: Job) -> None:
    assert 'api-url="/api/jobs/"' in render(job)


@pytest.mark.urls("django_rq.urls")
def test_a_host_without_rest_has_neither_polling_nor_downloads(job: Job, organization: Organization) -> None:
    reference = f"django_jobs/{organization.pk}/{job.name}/{'x' * 22}/sales.pdf"

    markup = render(store(job, output_reference=reference))

    assert "api-url" not in markup
    assert '<a part="output" hidden>' in markup


@pytest.mark.parametrize(("secure", "scheme"), [(False, "ws"), (True, "wss")])
def test_the_websocket_is_this_hosts_and_as_safe_as_the_page(job: Job, secure: bool, scheme: str) -> None:
    assert f'ws-url="{scheme}://testserver/ws/jobs/"' in render(job, secure=secure)


def test_a_host_may_mount_the_websocket_elsewhere(job: Job) -> None:
    assert 'ws-url="wss://live.example/jobs/"' in render(job, options='ws_url="wss://live.example/jobs/"')


def test_a_page_may_listen_to_the_organization(job: Job) -> None:
    assert 'room="org:ORG-1"' in render(job, options='room="org:ORG-1"')


def test_the_owner_may_cancel(organization: Organization) -> None:
    owner = make_user(member_of=[organization])
    job = submit_job(make_job_type(), organization, user=owner)

    assert " can-cancel" in render(job, owner)


def test_others_see_no_way_to_cancel(job: Job, organization: Organization) -> None:
    assert " can-cancel" not in render(job, make_user(member_of=[organization]))


def test_what_has_ended_cannot_be_canceled(job: Job, organization: Organization) -> None:
    admin = make_user(admin_of=[organization])

    assert " can-cancel" not in render(store(job, status="Canceled", ready_at=None), admin)


def test_without_a_request_it_only_shows(job: Job) -> None:
    markup = render(job, request=False)

    assert 'ws-url="/ws/jobs/"' in markup
    assert "csrf-token" not in markup
    assert " can-cancel" not in markup


def test_the_token_for_canceling_is_the_requests(job: Job) -> None:
    assert re.search(r'csrf-token="\w{64}"', render(job))


def test_a_saved_file_is_linked(job: Job, organization: Organization) -> None:
    reference = f"django_jobs/{organization.pk}/{job.name}/{'x' * 22}/sales.pdf"

    markup = render(store(job, output_reference=reference))

    words = JOB_WORDS["output"].format(file="sales.pdf")
    assert f'<a part="output" href="/api/jobs/{job.name}/output/">{words}</a>' in markup


@pytest.mark.parametrize("reference", ["https://elsewhere.example/x.pdf", "django_jobs/1/JOB-2020-00001/xx/x.pdf"])
def test_any_other_reference_is_no_link(job: Job, reference: str) -> None:
    assert '<a part="output" hidden>' in render(store(job, output_reference=reference))


FAILED: dict[str, Any] = {"status": "Failed", "error_message": "The line is busy."}


def test_an_error_takes_the_place_of_the_message(job: Job) -> None:
    markup = render(store(job, progress_message="Page 3", **FAILED))

    assert '<span part="message" dir="auto">The line is busy.</span>' in markup
    again = render(store(job, **{**FAILED, "status": "Running", "ready_at": None}))
    assert '<span part="message" dir="auto">Page 3</span>' in again, "It is tried again."


def test_a_long_error_does_not_fill_the_page(job: Job) -> None:
    markup = render(store(job, **{**FAILED, "error_message": "x" * 100_000}))

    assert f'<span part="message" dir="auto">{"x" * 300}…</span>' in markup
    assert len(markup) < 5_000


def test_whoever_may_retry_is_offered_it_also_when_it_fails_later(job: Job, organization: Organization) -> None:
    admin, member = make_user(admin_of=[organization]), make_user(member_of=[organization])
    for found in (job, store(job, status="Dead Letter", ready_at=None)):
        assert " can-retry" in render(found, admin)
        assert " can-retry" not in render(found, member)


@pytest.mark.parametrize("status", ["Completed", "Canceled"])
def test_what_went_well_or_was_canceled_is_not_tried_again(job: Job, organization: Organization, status: str) -> None:
    assert " can-retry" not in render(store(job, status=status, ready_at=None), make_user(admin_of=[organization]))


def status_in(markup: str) -> str:
    found = re.search(r'<span part="status" tabindex="-1">(.*?)</span>', markup)
    assert found is not None
    return html.unescape(found[1])


def at(hours: int) -> dt.datetime:
    """A moment of today, or of a day to come, in UTC."""
    return timezone.now().replace(hour=12, minute=5) + dt.timedelta(hours=hours)


@pytest.mark.parametrize(
    ("values", "word"),
    [
        ({"status": "Queued", "ready_at": None}, "Queued"),
        ({"ready_at": None}, "dependency"),
        ({"status": "Running", "ready_at": None}, "Running"),
        ({"status": "Running", "ready_at": None, "cancel_requested_at": at(0)}, "stopping"),
        ({"status": "Completed", "ready_at": None}, "Completed"),
        ({"status": "Dead Letter", "ready_at": None}, "Dead Letter"),
        ({"status": "Canceled", "ready_at": None}, "Canceled"),
        ({"status": "Canceled", "ready_at": None, "error_message": EXPIRED}, "expired"),
        ({"status": "Canceled", "ready_at": None, "error_message": EXPIRED, "error_type": "Transient"}, "Canceled"),
        ({"status": "Failed"}, "Failed"),
        ({"status": "Timed Out"}, "Timed Out"),
    ],
)
def test_how_it_stands_is_said_in_plain_words(job: Job, values: dict[str, Any], word: str) -> None:
    assert status_in(render(store(job, **values))) == str(JOB_WORDS[word])


def test_each_state_has_words_of_its_own() -> None:
    assert len({str(text) for text in JOB_WORDS.values()}) == len(JOB_WORDS) - 2
    assert str(JOB_WORDS["Queued"]) == str(JOB_WORDS["Pending"])
    assert str(JOB_WORDS["Failed"]) == str(JOB_WORDS["Timed Out"])


@pytest.mark.parametrize("zone", ["UTC", "Asia/Tokyo"])
def test_a_time_is_told_with_its_zone(job: Job, zone: str) -> None:
    now = timezone.now()
    due = now + dt.timedelta(days=800)  # in another year, also where this one ends at this moment
    with timezone.override(zone):
        moment = verbs.moment_in_words(due, now)
        retried = status_in(render(store(job, status="Failed", next_retry_at=due, ready_at=due)))
        planned = status_in(render(store(job, status="Pending", next_retry_at=None, run_at=due, ready_at=due)))

        assert moment.endswith(f" {timezone.localtime(due).tzname()}")
    assert (retried, planned) == (JOB_WORDS["again_on"].format(time=moment), JOB_WORDS["run_at"].format(time=moment))


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0.5, JOB_PLURALS["again_seconds"](1).format(count=1)),
        (59, JOB_PLURALS["again_seconds"](59).format(count=59)),
        (60, JOB_PLURALS["again_minutes"](1).format(count=1)),
        (3_599, JOB_PLURALS["again_minutes"](59).format(count=59)),
        (3_600, JOB_WORDS["again_at"].format(time="1 p.m. UTC")),
        (-1, JOB_WORDS["Failed"]),
    ],
    ids=["half a second", "seconds", "a minute", "minutes", "an hour", "now"],
)
def test_a_retry_is_told_by_how_far_away_it_is(job: Job, seconds: float, words: str) -> None:
    now = dt.datetime(2026, 1, 1, 12, tzinfo=dt.UTC)
    due = now + dt.timedelta(seconds=seconds)
    status = dataclasses.replace(get_job_status(job), status="Failed", waiting_for="retry", next_retry_at=due)
    assert verbs.status_in_words(status, now) == words


def test_a_time_of_today_needs_no_date() -> None:
    now = dt.datetime(2026, 1, 1, 12, tzinfo=dt.UTC)
    assert verbs.moment_in_words(now + dt.timedelta(minutes=5), now) == "12:05 p.m. UTC"
    assert verbs.moment_in_words(now + dt.timedelta(days=1), now) == "January 2, noon UTC"


def test_a_time_of_another_year_has_that_year() -> None:
    now = dt.datetime(2026, 11, 26, 12, tzinfo=dt.UTC)
    assert verbs.moment_in_words(dt.datetime(2030, 1, 1, tzinfo=dt.UTC), now) == "Jan. 1, 2030, midnight UTC"


def test_the_end_of_the_calendar_is_a_time_in_every_zone() -> None:
    now, never = dt.datetime(2026, 1, 1, 12, tzinfo=dt.UTC), dt.datetime(9999, 12, 31, 23, 59, 59, tzinfo=dt.UTC)
    with timezone.override("Europe/Berlin"):
        assert verbs.moment_in_words(never, now) == "Dec. 31, 9999, 11:59 p.m. UTC"


def test_a_time_is_written_as_the_language_does() -> None:
    now = dt.datetime(2026, 1, 1, 12, tzinfo=dt.UTC)
    with override("de"):
        assert verbs.moment_in_words(now + dt.timedelta(minutes=5), now) == "12:05 UTC"


def test_a_page_may_have_sentences_of_its_own_for_states(job: Job) -> None:
    options = "words=words"
    words = {"Running": "Your catalog is being published", "Dead Letter": "It could not be <published>"}
    running = render(store(job, status="Running", ready_at=None), options=options, words=words)
    assert status_in(running) == "Your catalog is being published"
    assert "Your catalog is being published, 0 %" in running
    assert "&lt;published&gt;&quot;}" in running
    assert status_in(render(store(job, status="Canceled"), options=options, words=words)) == str(JOB_WORDS["Canceled"])


def test_what_it_waits_for_may_be_named(job: Job) -> None:
    markup = render(store(job, ready_at=None), options='waits_for="Import customers"')

    assert status_in(markup) == str(JOB_WORDS["waits_for"].format(names="Import customers"))
    assert ' waits-for="Import customers"' in markup


@pytest.mark.parametrize(
    ("change", "word"), [({"is_paused": True}, "type_paused"), ({"is_enabled": False}, "type_disabled")]
)
def test_what_holds_a_job_is_said(job: Job, change: dict[str, Any], word: str) -> None:
    JobType.objects.filter(pk=job.job_type_id).update(**change)

    assert status_in(render(store(job))) == str(JOB_WORDS[word])
    assert status_in(render(store(job, status="Failed"))) == str(JOB_WORDS[word])


@pytest.mark.parametrize(
    ("script", "variable", "of"),
    [("job_facts.js", "words", "JOB"), ("jobs.js", "words", "JOB"), ("batch_progress.js", "batchWords", "BATCH")],
)
def test_the_page_has_the_words_that_a_script_names(script: str, variable: str, of: str) -> None:
    path = finders.find(f"django_jobs/{script}")
    assert isinstance(path, str)
    names = set(re.findall(rf"\b{variable}\.(\w+)", Path(path).read_text()))
    rendered = verbs.words_for_script(getattr(verbs, f"{of}_WORDS"), getattr(verbs, f"{of}_PLURALS"))
    assert names
    assert names <= rendered.keys()


def test_an_error_is_cut_by_the_script_as_by_the_server() -> None:
    path = finders.find("django_jobs/job_facts.js")
    assert isinstance(path, str)
    assert f"LONGEST = {verbs.LONGEST_WORDS};" in Path(path).read_text()


def words_of_page() -> dict[str, Any]:
    markup = Template("{% load django_jobs %}{% job_progress_script %}").render(Context())
    found = re.search(r'<script id="django-jobs-words" type="application/json">(.*?)</script>', markup)
    assert found is not None
    words: dict[str, Any] = json.loads(found[1])
    return words


def test_the_script_tag_brings_the_words_of_the_language(job: Job) -> None:
    with override("de"):  # Django's own catalog has this one
        assert words_of_page()["job"]["cancel"] == gettext("Cancel")


def test_a_plural_has_a_form_for_each_category_of_a_language(job: Job) -> None:
    forms = words_of_page()["job"]["again_seconds"]
    assert (forms["1"], forms["1000000"]) == tuple(map(JOB_PLURALS["again_seconds"], (1, 1_000_000)))
    assert forms["1"] != forms["1000000"]


def test_the_script_tag_brings_style_and_module_and_nothing_inline() -> None:
    markup = Template("{% load django_jobs %}{% job_progress_script %}").render(Context())

    assert '<link rel="stylesheet" href="/static/django_jobs/jobs.css">' in markup
    assert '<script type="module" src="/static/django_jobs/jobs.js"></script>' in markup


def test_a_jobs_time_is_told_in_minutes_and_seconds() -> None:
    job, start = job_in("Completed"), timezone.now()
    told = {}
    for seconds in (0, 59, 60, 125, 3_725):
        store(job, started_at=start, completed_at=start + dt.timedelta(seconds=seconds))
        told[seconds] = tags._time(get_job_status(job), start)
    assert told == {0: "0:00", 59: "0:59", 60: "1:00", 125: "2:05", 3_725: "62:05"}
    for seconds, time in ((125, "2:05"), (-5, "0:00")):
        end = start + dt.timedelta(seconds=seconds)
        canceled = dataclasses.replace(get_job_status(job), status="Canceled", completed_at=None, canceled_at=end)
        assert tags._time(canceled, start) == time
