"""Job types in the admin: what a form accepts, and what it must not destroy."""

from __future__ import annotations

import re
from typing import Any

import pytest
from django.contrib.admin.models import ADDITION, DELETION, LogEntry
from django.contrib.admin.utils import quote
from django.contrib.auth.models import User
from django.test import Client, TestCase
from django.urls import reverse

from django_jobs import submit_job
from django_jobs.exceptions import JobTypeDisabled
from django_jobs.models import Job, JobType, Organization
from tests.support import admin, verbs
from tests.support.admin import fact_on, text
from tests.support.brokers import job_in, pending_job, reread
from tests.support.factories import make_job_type, make_organization, make_system_admin
from tests.support.monitor import count
from tests.support.tuning import Tuning


@pytest.fixture
def system_admin(client: Client) -> Client:
    user = make_system_admin("sysadmin")
    User.objects.filter(pk=user.pk).update(is_staff=True)
    client.force_login(user)
    return client


def url(page: str, *args: str) -> str:
    return reverse(f"admin:django_jobs_jobtype_{page}", args=[quote(arg) for arg in args])


def type_form(**changed: object) -> dict[str, object]:
    values = {
        "type_name": "echo",
        "handler_method": "tests.support.handlers.echo",
        "default_timeout": 30,
        "default_priority": 1,
        "submit_by": "members",
        "max_retries": 5,
        "retry_delay": 60,
        "is_enabled": "on",
        "deduplication_window": 300,
        "rate_limit_window": 60,
        "max_running_per_key": 1,
        "max_starts_window": 60,
        "breaker_failures": 0,
        "breaker_pause": 60,
        "pool": "default",
    }
    return {**values, **changed}


def seen_on_page(client: Client, kind: JobType) -> dict[str, object]:
    """What a browser sends, unseen, of what the page of the type showed."""
    form = client.get(url("change", kind.pk)).context["adminform"].form
    values = {form[name].html_initial_name: form[name].value() for name in form.fields}
    return {name: "" if value is None else value for name, value in values.items()}


def test_a_system_admin_adds_a_type(system_admin: Client) -> None:
    assert system_admin.post(url("add"), type_form()).status_code == 302
    assert JobType.objects.get(pk="echo").default_timeout == 30
    assert [entry.action_flag for entry in LogEntry.objects.all()] == [ADDITION]


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("os.system", "handler_not_allowed"),
        ("tests.support.handlers.missing", "handler_not_loadable"),
        ("tests.support.handlers.os.system", "handler_not_allowed|handler_not_loadable"),
        ("nodots", "not_a_path"),
    ],
)
def test_a_wrong_handler_is_refused_at_once(system_admin: Client, path: str, code: str) -> None:
    response = system_admin.post(url("add"), type_form(handler_method=path))
    assert response.status_code == 200
    (error,) = response.context["adminform"].form.errors.as_data()["handler_method"]
    assert error.code in code.split("|")
    assert path in error.message
    assert not JobType.objects.filter(pk="echo").exists()


def test_a_type_whose_handler_is_gone_can_be_changed_and_paused(system_admin: Client) -> None:
    kind = make_job_type()
    JobType.objects.update(handler_method="gone.jobs.handler")
    values = type_form(type_name=kind.pk, handler_method="gone.jobs.handler", description="new")
    assert system_admin.post(url("change", kind.pk), values).status_code == 302
    system_admin.post(url("pause", kind.pk))
    kind.refresh_from_db()
    assert (kind.is_paused, kind.description) == (True, "new")


def test_a_type_keeps_its_name(system_admin: Client) -> None:
    kind = make_job_type()
    system_admin.post(url("change", kind.pk), type_form(type_name="another"))
    assert JobType.objects.filter(pk=kind.pk).exists()
    assert not JobType.objects.filter(pk="another").exists()


def test_a_type_with_jobs_is_not_deleted_and_one_without_is(system_admin: Client) -> None:
    job = submit_job(make_job_type(), make_organization())
    page = system_admin.post(url("delete", job.job_type_id), {"post": "yes"})
    (protected,) = page.context["protected"]
    assert job.job_type_id in protected
    action = {"action": "delete_selected", "_selected_action": [job.job_type_id], "post": "yes"}
    system_admin.post(url("changelist"), action)
    assert JobType.objects.filter(pk=job.job_type_id).exists()
    free = make_job_type()
    assert system_admin.post(url("delete", free.pk), {"post": "yes"}).status_code == 302
    assert not JobType.objects.filter(pk=free.pk).exists()
    chosen = make_job_type()
    system_admin.post(url("changelist"), {**action, "_selected_action": [chosen.pk]})
    assert not JobType.objects.filter(pk=chosen.pk).exists()
    deleted = LogEntry.objects.filter(action_flag=DELETION).order_by("pk").values_list("object_id", flat=True)
    assert list(deleted) == [free.pk, chosen.pk]
    assert Job.objects.exists()


@pytest.fixture
def member() -> Client:
    return admin.staff_of(make_organization(name="ORG-MINE"))


def test_times_are_shown_and_typed_in_words(system_admin: Client) -> None:
    kind = make_job_type(default_timeout=5400)
    assert 'value="1 h 30 min"' in text(system_admin, url("change", kind.pk))
    values = type_form(default_timeout="2 h", retry_delay="90", rate_limit_window="1h30m")
    assert system_admin.post(url("change", kind.pk), values).status_code == 302
    kind.refresh_from_db()
    assert (kind.default_timeout, kind.retry_delay, kind.rate_limit_window) == (7200, 90, 5400)


def test_a_wrong_time_is_refused(subtests: pytest.Subtests, system_admin: Client) -> None:
    for typed in ("soon", "0", "31 d", "-5", ""):
        with subtests.test(typed=typed):
            response = system_admin.post(url("add"), type_form(default_timeout=typed))
            assert list(response.context["adminform"].form.errors) == ["default_timeout"]


def test_declared_handlers_are_offered(system_admin: Client) -> None:
    page = text(system_admin, url("add"))
    assert '<option value="example_project.shop.jobs.pdf_generation"></option>' in page


def test_the_retry_schedule_is_previewed(system_admin: Client) -> None:
    kind = make_job_type(max_retries=3, retry_delay=60)
    delays, _, after = fact_on(text(system_admin, url("change", kind.pk)), "schedule").partition("</ol>")
    assert re.findall(r"<li><bdi>([^<]+)</bdi></li>", delays) == ["1 min", "2 min", "4 min"]
    assert "7 min" in after


@pytest.mark.parametrize(("retries", "shown", "more"), [(0, 0, []), (100, 12, ["88"])])
def test_the_preview_of_extremes_is_short(system_admin: Client, retries: int, shown: int, more: list[str]) -> None:
    kind = make_job_type(max_retries=retries, retry_delay=2_592_000)
    delays, _, after = fact_on(text(system_admin, url("change", kind.pk)), "schedule").partition("</ol>")
    assert (delays.count("<li>"), re.findall(r"\d+", after)[:1]) == (shown, more)
    assert delays


@pytest.mark.usefixtures("broker")
def test_pausing_holds_jobs_at_once_and_resuming_lets_them_go(system_admin: Client) -> None:
    kind = make_job_type()
    system_admin.post(url("pause", kind.pk))
    job = submit_job(kind, make_organization())
    verbs.wake()
    assert reread(job).status == "Pending"
    with TestCase.captureOnCommitCallbacks(execute=True):
        system_admin.post(url("resume", kind.pk))
    assert reread(job).status == "Queued"
    assert admin.actors(kind) == ["sysadmin", "sysadmin"]


def test_a_type_is_disabled_and_enabled(system_admin: Client) -> None:
    kind = make_job_type()
    states = [system_admin.get(url("change", kind.pk)).context["state"]]
    for verb in ("pause", "disable"):
        system_admin.post(url(verb, kind.pk))
        states.append(system_admin.get(url("change", kind.pk)).context["state"])
    assert [re.findall(r"djobs-([\w-]+)\"", state) for state in states] == [["completed"], ["timed-out"], ["canceled"]]
    with pytest.raises(JobTypeDisabled):
        submit_job(kind, make_organization())
    system_admin.post(url("enable", kind.pk))
    assert JobType.objects.get(pk=kind.pk).is_enabled


def test_who_pauses_second_is_told(system_admin: Client) -> None:
    kind = make_job_type(is_paused=True)
    assert admin.codes_said(system_admin.post(url("pause", kind.pk), follow=True)) == ["already_paused"]
    assert admin.actors(kind) == []


def test_a_page_that_was_opened_before_a_pause_does_not_undo_it(system_admin: Client) -> None:
    kind = make_job_type(description="old")
    seen = seen_on_page(system_admin, kind) | type_form(type_name=kind.pk)
    JobType.objects.filter(pk=kind.pk).update(is_paused=True)
    system_admin.post(url("change", kind.pk), {**seen, "description": "new", "is_paused": ""})
    kind.refresh_from_db()
    assert (kind.is_paused, kind.description) == (True, "new")


def test_two_who_change_different_fields_lose_neither(system_admin: Client) -> None:
    kind = make_job_type(description="old")
    seen = seen_on_page(system_admin, kind)
    opened = seen | {name.removeprefix("initial-"): value for name, value in seen.items()}
    for changed in ({"max_running": "4", "description": "new"}, {"rate_limit": "7"}):
        assert system_admin.post(url("change", kind.pk), {**opened, **changed}).status_code == 302
    kind.refresh_from_db()
    assert (kind.max_running, kind.description, kind.rate_limit) == (4, "new", 7)


def test_who_requires_a_permission_that_does_not_exist_is_warned(system_admin: Client) -> None:
    def told(permission: str) -> list[str]:
        form = seen_on_page(system_admin, kind) | type_form(type_name=kind.pk, requires_permission=permission)
        response = system_admin.post(url("change", kind.pk), form, follow=True)
        kind.refresh_from_db()
        assert kind.requires_permission == permission
        texts = zip(admin.codes_said(response), admin.said(response), strict=True)
        return [message for code, message in texts if code == "unknown_permission"]

    kind = make_job_type()
    assert told("django_jobs.add_jobtype") == []
    (warning,) = told("django_jobs.add_jobtyp")
    assert "django_jobs.add_jobtyp:" in warning
    assert told("django_jobs.add_jobtyp") == []  # it was told when it was typed
    assert told("") == []


@pytest.mark.parametrize("verb", ["pause", "resume", "enable", "disable"])
def test_only_system_admins_switch(member: Client, system_admin: Client, verb: str) -> None:
    kind = make_job_type()
    assert member.post(url(verb, kind.pk)).status_code == 403
    assert system_admin.get(url(verb, kind.pk)).status_code == 405
    shown = [url(name, kind.pk) for name in ("pause", "resume", "enable", "disable")]
    assert [address for address in shown if address in text(member, url("change", kind.pk))] == []
    assert admin.codes_said(system_admin.post(url(verb, "gone"), follow=True)) == ["gone"]


@pytest.mark.usefixtures("broker")
def test_the_last_day_is_told_beside_the_form(system_admin: Client, member: Client, tuning: Tuning) -> None:
    tuning.set(log_open_seconds=0.0)  # MariaDB counts what happened once this is over
    kind = make_job_type()
    job_in("Completed", job_type=kind)
    job_in("Dead Letter", job_type=kind)
    job_in("Queued", job_type=kind)
    pending_job(kind)
    verbs.catch_up_rollups()
    count(kind, make_organization(), ago=25 * 3600, completed=7)
    count(kind, make_organization(), completed=1, ran=[4.0])
    count(make_job_type(), make_organization(), completed=7)
    page = system_admin.get(url("change", kind.pk)).context
    day = page["day"]
    assert [number for _, number in day["ends"]] == ["2", "1", "0"]
    assert (day["submitted"], day["failure_rate"], day["average"]) == ("4", "33.3 %", "2.0 s")
    assert (str(day["waiting"]), page["flow"]["in_flight"]) == ("1", "1")
    assert "djobs-day" in text(system_admin, url("change", kind.pk))
    assert "djobs-day" not in text(member, url("change", kind.pk))


def errors_of(client: Client, **changed: object) -> dict[str, list[str]]:
    """The codes of what is refused, by field."""
    response = client.post(url("add"), type_form(**changed))
    errors = response.context["adminform"].form.errors.as_data()
    return {field: [error.code for error in found] for field, found in errors.items()}


@pytest.mark.parametrize("limit", ["max_running", "max_running_per_organization", "max_starts"])
def test_a_limit_of_nothing_is_refused(system_admin: Client, limit: str) -> None:
    assert errors_of(system_admin, **{limit: 0}) == {limit: ["min_value"]}


def test_a_limit_of_nothing_for_each_value_is_refused(system_admin: Client) -> None:
    assert errors_of(system_admin, max_running_per_key=0, concurrency_key="n") == {"max_running_per_key": ["min_value"]}


def test_limits_may_be_set_and_taken_away(system_admin: Client) -> None:
    kind = make_job_type()
    limits = {"max_running": 9, "max_starts": 3, "max_starts_window": "1 min", "retention_days": 7}
    values = type_form(type_name=kind.pk, handler_method=kind.handler_method, **limits)
    assert system_admin.post(url("change", kind.pk), values).status_code == 302
    kind.refresh_from_db()
    assert (kind.max_running, kind.max_starts, kind.max_starts_window, kind.retention_days) == (9, 3, 60, 7)
    values |= seen_on_page(system_admin, kind) | dict.fromkeys(limits, "") | {"max_starts_window": 60}
    assert system_admin.post(url("change", kind.pk), values).status_code == 302
    kind.refresh_from_db()
    assert (kind.max_running, kind.max_starts, kind.retention_days) == (None, None, None)


def test_the_audit_tells_which_limits_were_changed(system_admin: Client) -> None:
    kind = make_job_type()
    system_admin.post(url("change", kind.pk), type_form(type_name=kind.pk, max_running=9, concurrency_key="n"))
    told = LogEntry.objects.latest("pk").get_change_message().casefold()
    for name in ("max_running", "concurrency_key"):
        assert str(JobType._meta.get_field(name).verbose_name).casefold() in told  # type: ignore[union-attr]


def test_the_pools_of_the_settings_are_offered(system_admin: Client, settings: Any) -> None:
    settings.DJANGO_JOBS = {**settings.DJANGO_JOBS, "POOLS": {"gpu": {}}}
    form = system_admin.get(url("add")).context["adminform"].form
    assert form.fields["pool"].choices == [("default", "default"), ("gpu", "gpu")]
    assert system_admin.post(url("add"), type_form(pool="gpu")).status_code == 302
    assert JobType.objects.get(pk="echo").pool == "gpu"
    assert list(errors_of(system_admin, type_name="other", pool="cpu")) == ["pool"]


def test_a_type_whose_pool_is_gone_can_be_changed(system_admin: Client) -> None:
    kind = make_job_type()
    JobType.objects.update(pool="gone")
    choices = system_admin.get(url("change", kind.pk)).context["adminform"].form.fields["pool"].choices
    assert [value for value, _ in choices] == ["default", "gone"]
    assert choices[-1][1] != "gone"
    values = type_form(type_name=kind.pk, handler_method=kind.handler_method, pool="gone", description="new")
    assert system_admin.post(url("change", kind.pk), values).status_code == 302
    kind.refresh_from_db()
    assert (kind.description, kind.pool) == ("new", "gone")


def test_the_list_is_narrowed_to_a_pool(system_admin: Client) -> None:
    make_job_type(type_name="plain")
    JobType.objects.filter(pk=make_job_type(type_name="heavy").pk).update(pool="gpu")
    JobType.objects.filter(pk="heavy").update(default_priority=2, default_timeout=90)
    shown = system_admin.get(url("changelist"), {"pool": "gpu"})
    assert [kind.pk for kind in shown.context["cl"].queryset] == ["heavy"]
    for column, words in (("urgency", "High"), ("time_limit", "1 min 30 s")):
        assert re.search(rf'class="field-{column}[^>]*>{words}</td>', shown.content.decode())


def test_an_address_that_no_database_can_look_for_leads_to_no_type(root: Client) -> None:
    for page in ("change", "history", "delete", "submit"):
        for name in ("%00", "_00", "a_00b"):
            response = root.get(f"{url('changelist')}{name}/{page}/")
            assert response.status_code == 302


def test_a_refused_number_of_retries_is_said_at_once(system_admin: Client) -> None:
    response = system_admin.post(url("add"), type_form(max_retries="9" * 20))
    assert response.status_code == 200
    assert response.context["errors"]
    assert not JobType.objects.filter(pk="echo").exists()


def test_staff_who_may_see_types_learn_no_paths_of_handlers(mine: Organization, root: Client) -> None:
    kind = make_job_type(type_name="letters")
    staff = admin.staff_of(mine, permissions=["django_jobs.view_jobtype"])
    for client, shows in ((staff, False), (root, True)):
        pages = [text(client, url("changelist")), text(client, url("change", kind.pk))]
        assert ["tests.support.handlers" in page for page in pages] == [shows, shows]
        assert [item.pk for item in admin.asked(client, {"q": "support.handlers.do"}, "jobtype").result_list] == [
            kind.pk
        ] * shows
