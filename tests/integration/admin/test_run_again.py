"""Run again: a new job from an edited copy of another one's parameters."""

from __future__ import annotations

import datetime as dt
import json
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from pytest_django import Settings

from django_jobs import job_handler
from django_jobs.models import ExecutionLog, Job, JobType, Organization
from tests.support import admin
from tests.support.admin import form_codes, remembered, text, url
from tests.support.brokers import job_in, pending_job
from tests.support.factories import make_job_type
from tests.support.handlers import echo
from tests.support.serializers import Order
from tests.support.verbs import MASK

pytestmark = pytest.mark.usefixtures("broker")


@pytest.fixture
def sensitive(settings: Settings) -> None:
    settings.DJANGO_JOBS = {**settings.DJANGO_JOBS, "SENSITIVE_PARAMETERS": ("password",)}


@pytest.fixture
def manager() -> Client:
    """Somebody who manages all jobs and may not read what is sensitive in them."""
    return admin.system_admin()


def run_again(client: Client, job: Job, parameters: Any, priority: str = "1") -> Any:
    written = parameters if isinstance(parameters, str) else json.dumps(parameters)
    values = {"parameters": written, "priority": priority}
    return client.post(url("job", "run_again", job.pk), values, follow=True)


def newest() -> Job:
    return Job.objects.latest("pk")


def test_the_form_begins_with_the_jobs_own_parameters(root: Client) -> None:
    job = job_in("Completed", parameters={"month": "<b>"})
    assert "&lt;b&gt;" in text(root, url("job", "run_again", job.pk))


def test_a_copy_is_submitted_for_its_user(root: Client) -> None:
    job = job_in("Dead Letter", parameters={"n": 1}, priority="High")
    response = run_again(root, job, {"n": 2}, priority="2")
    made = newest()
    assert response.redirect_chain[-1][0] == url("job", "change", made.pk)
    assert (made.input_parameters, made.owner_name, made.priority) == ({"n": 2}, "root", 2)
    assert (made.job_type_id, made.organization_id) == (job.job_type_id, job.organization_id)
    assert ExecutionLog.objects.filter(job=made).earliest("pk").actor == "root"
    for changed, other in ((made, job), (job, made)):
        ((user, told),) = remembered(changed)
        assert (user, other.name in told) == ("root", True)


SECRET = {"user": "ann", "Password": "hunter2"}


@pytest.mark.usefixtures("sensitive")
def test_unchanged_parameters_go_along_with_what_is_hidden_in_them(manager: Client) -> None:
    job = job_in("Completed", parameters=SECRET)
    page = manager.get(url("job", "run_again", job.pk))
    assert "hunter2" not in page.content.decode()
    assert MASK in page.context["form"].fields["parameters"].help_text
    run_again(manager, job, {"Password": MASK, "user": "ann"}, priority="3")
    assert (newest().input_parameters, newest().priority) == (SECRET, 3)
    assert newest() != job


@pytest.mark.usefixtures("sensitive")
def test_a_hidden_value_goes_to_no_job_that_differs(subtests: pytest.Subtests, manager: Client) -> None:
    cases: list[Any] = [
        {"user": "bob", "Password": MASK},
        {"user": MASK},
        {"user": "ann", "Password": MASK, "webhook": "https://evil.example"},
        {"user": MASK, "Password": "x"},
        {"user": "ann", "password": MASK},
        {"user": "ann", "echo": {"Password": MASK}},
        {"user": "ann", "Password": [MASK]},
        [MASK],
    ]
    job = pending_job(parameters=SECRET)
    for edited in cases:
        with subtests.test(edited=edited):
            response = run_again(manager, job, edited)
            assert {name: set(codes) for name, codes in form_codes(response).items()} == {
                "parameters": {"hidden_value"}
            }
            assert "hunter2" not in response.content.decode()
            assert newest() == job


@pytest.mark.usefixtures("sensitive")
@pytest.mark.parametrize("edited", [{"user": "bob", "Password": "typed"}, {"user": "ann"}, {}])
def test_edited_parameters_are_submitted_as_they_were_typed(manager: Client, edited: Any) -> None:
    job = job_in("Completed", parameters=SECRET)
    run_again(manager, job, edited)
    assert newest() != job
    assert newest().input_parameters == edited


@pytest.mark.usefixtures("sensitive")
@pytest.mark.parametrize("field", ["job_type", "type", "organization", "kind"])
def test_a_forged_form_changes_neither_type_nor_organization(manager: Client, theirs: Organization, field: str) -> None:
    job, other = job_in("Completed", parameters=SECRET), make_job_type()
    value = str(theirs.pk) if field == "organization" else other.pk
    manager.post(
        url("job", "run_again", job.pk),
        {"parameters": json.dumps({"user": "ann", "Password": MASK}), "priority": "1", field: value},
    )
    made = newest()
    assert (made.job_type_id, made.organization_id) == (job.job_type_id, job.organization_id)


@pytest.mark.usefixtures("sensitive")
def test_whoever_may_read_sensitive_values_edits_them(root: Client, mine: Organization) -> None:
    job = job_in("Completed", parameters=SECRET, organization=mine)
    reader = admin.staff_of(mine, permissions=["django_jobs.view_job", "django_jobs.view_sensitive"])
    for client in (root, reader):
        page = client.get(url("job", "run_again", job.pk))
        assert "hunter2" in page.content.decode()
        assert not page.context["form"].fields["parameters"].help_text
        run_again(client, job, {"user": "bob", "Password": "hunter2"})
        assert newest().input_parameters == {"user": "bob", "Password": "hunter2"}


def test_wrong_parameters_are_refused_beside_their_field(subtests: pytest.Subtests, root: Client) -> None:
    cases: list[tuple[str, str]] = [
        ("{", "not_json"),
        ("[1]", "not_an_object"),
        ('{"a": NaN}', "not_finite"),
        ('{"a": "\\u0000"}', "unstorable_text"),
        ("[" * 100_000, "not_json|too_deep"),
        ("x" * 70_000, "not_json"),
    ]
    job = job_in("Completed")
    for parameters, codes in cases:
        with subtests.test(parameters=parameters, codes=codes):
            ((field, (code,)),) = form_codes(run_again(root, job, parameters)).items()
            assert field == "parameters"
            assert code in codes.split("|")
            assert newest() == job


def test_a_duplicate_is_refused_with_a_link_to_the_earlier_job(root: Client) -> None:
    job = pending_job(make_job_type(deduplication_window=300), parameters={"n": 1})
    response = run_again(root, job, {"n": 1})
    assert form_codes(response) == {"__all__": ["duplicate_job"]}
    assert f'<a href="{url("job", "change", job.pk)}">{job.name}</a>' in response.content.decode()


def test_of_a_duplicate_that_the_policy_hides_no_link_tells(mine: Organization, settings: Settings) -> None:
    kind = make_job_type(deduplication_window=300)
    hidden = pending_job(kind, mine, parameters={"n": 1})
    member = admin.staff_of(mine)
    own = pending_job(kind, mine, parameters={"n": 2}, user=User.objects.get(username="member"))
    settings.DJANGO_JOBS = {**settings.DJANGO_JOBS, "ACCESS_POLICY": "tests.support.policies.OwnJobsOnly"}
    response = run_again(member, own, {"n": 1})
    assert form_codes(response) == {"__all__": ["duplicate_job"]}
    assert url("job", "change", hidden.pk) not in response.content.decode()


def test_a_type_that_was_disabled_meanwhile_is_said_to_be(root: Client) -> None:
    job = job_in("Completed")
    type(job.job_type).objects.update(is_enabled=False)
    assert form_codes(run_again(root, job, {})) == {"__all__": ["job_type_disabled"]}


def test_a_member_runs_again_what_a_member_may_submit(mine: Organization) -> None:
    member = admin.staff_of(mine)
    job = job_in("Completed", organization=mine)
    assert url("job", "run_again", job.pk) in text(member, url("job", "change", job.pk))
    run_again(member, job, {"n": 1})
    assert newest().owner_name == "member"


def test_a_member_without_the_types_permission_does_not(mine: Organization) -> None:
    member = admin.staff_of(mine)
    job = job_in("Completed", organization=mine, job_type=make_job_type(requires_permission="auth.add_user"))
    assert url("job", "run_again", job.pk) not in text(member, url("job", "change", job.pk))
    assert form_codes(run_again(member, job, {"n": 1})) == {"__all__": ["unknown_job_type"]}
    assert newest() == job


ORDER = {"day": "2026-12-24", "sizes": {"small": 2}, "note": "two\nshort lines"}


@pytest.fixture
def baking(nothing_declared: object) -> JobType:
    """A type that declares its parameters."""
    kind = make_job_type("echo")
    job_handler(kind.pk, parameters=Order)(echo)
    return kind


def filled_in(client: Client, job: Job) -> dict[str, Any]:
    """What the fields of the form begin with."""
    form = client.get(url("job", "run_again", job.pk)).context["form"]
    return {field.name: field.value() for field in form}


def run_fields(client: Client, job: Job, **typed: str) -> Any:
    values = {"p-day": "2026-12-24", "p-sizes": '{"small": 2}', "p-note": "two\r\nshort lines", "priority": "1"}
    values |= {f"p-{name}": value for name, value in typed.items()}
    return client.post(url("job", "run_again", job.pk), values, follow=True)


def test_a_type_with_a_serializer_is_run_again_by_a_form_that_is_filled_in(root: Client, baking: JobType) -> None:
    job = job_in("Completed", job_type=baking, parameters=ORDER)
    assert filled_in(root, job) == {
        "p-day": dt.date(2026, 12, 24),
        "p-sizes": '{"small": 2}',
        "p-note": "two\nshort lines",
        "p-lines": None,
        "priority": 1,
    }
    run_fields(root, job)
    assert newest() != job
    assert newest().input_parameters == ORDER
    run_fields(root, job, day="2026-12-25", note="")
    assert newest().input_parameters == {"day": "2026-12-25", "sizes": {"small": 2}}


def test_what_the_serializer_refuses_is_said_beside_its_field(root: Client, baking: JobType) -> None:
    job = job_in("Completed", job_type=baking, parameters=ORDER)
    errors = run_fields(root, job, sizes='{"small": "many"}').context["form"].errors
    assert list(errors) == ["p-sizes"]
    assert newest() == job


def test_parameters_that_the_form_would_not_show_are_edited_as_json(root: Client, baking: JobType) -> None:
    job = job_in("Completed", job_type=baking, parameters=ORDER)
    address = url("job", "run_again", job.pk)
    assert 'href="?json=1"' in text(root, address)
    assert set(root.get(address, {"json": "1"}).context["form"].fields) == {"parameters", "priority"}
    Job.objects.filter(pk=job.pk).update(input_parameters={**ORDER, "unknown": 1})
    assert set(root.get(address).context["form"].fields) == {"parameters", "priority"}


@pytest.fixture
def secret_notes(settings: Settings) -> None:
    settings.DJANGO_JOBS = {**settings.DJANGO_JOBS, "SENSITIVE_PARAMETERS": ("note", "small")}


@pytest.mark.usefixtures("secret_notes")
def test_hidden_values_go_along_with_a_form_of_which_nothing_is_changed(manager: Client, baking: JobType) -> None:
    job = job_in("Completed", job_type=baking, parameters=ORDER)
    page = manager.get(url("job", "run_again", job.pk))
    assert "short lines" not in page.content.decode()
    assert page.context["form"].fields["p-note"].help_text
    run_fields(manager, job, note="", sizes=json.dumps({"small": MASK}), priority="3")
    assert newest() != job
    assert newest().input_parameters == ORDER


@pytest.mark.usefixtures("secret_notes")
@pytest.mark.parametrize(
    ("typed", "fields"),
    [
        ({"day": "2026-12-25", "note": "", "sizes": json.dumps({"small": MASK})}, {"p-note", "p-sizes"}),
        ({"note": "mine", "sizes": json.dumps({"small": MASK})}, {"p-sizes"}),
        ({"note": MASK, "sizes": "{}"}, {"p-note"}),
        ({"note": "", "sizes": "{}"}, {"p-note"}),
    ],
)
def test_a_hidden_value_goes_to_no_job_whose_form_was_changed(
    manager: Client, baking: JobType, typed: dict[str, str], fields: set[str]
) -> None:
    job = job_in("Completed", job_type=baking, parameters=ORDER)
    response = run_fields(manager, job, **typed)
    assert form_codes(response) == {name: ["hidden_value"] for name in fields}
    assert newest() == job


@pytest.mark.usefixtures("secret_notes")
def test_whoever_types_the_hidden_values_anew_changes_the_rest(manager: Client, baking: JobType) -> None:
    job = job_in("Completed", job_type=baking, parameters=ORDER)
    run_fields(manager, job, day="2026-12-25", note="mine", sizes='{"small": 3}')
    assert newest().input_parameters == {"day": "2026-12-25", "sizes": {"small": 3}, "note": "mine"}


@pytest.mark.usefixtures("secret_notes")
def test_whoever_may_read_sensitive_values_finds_them_in_the_form(root: Client, baking: JobType) -> None:
    job = job_in("Completed", job_type=baking, parameters=ORDER)
    assert filled_in(root, job)["p-note"] == "two\nshort lines"
    assert not root.get(url("job", "run_again", job.pk)).context["form"].fields["p-note"].help_text
