"""The browsable API's pages after a mistake: what was typed is still there, and the error beside it."""

from __future__ import annotations

import html
import json
import re
from typing import Any, Final

import pytest
from rest_framework.test import APIClient

from django_jobs.models import Job, JobType, Organization
from tests.support.api import client_of, codes
from tests.support.brokers import MemoryBroker, pending_job
from tests.support.cases import rolled_back
from tests.support.factories import make_system_admin, make_user
from tests.support.verbs import ASKED_AT_ONCE

SURROGATE: Final = "a\ud800b"
#: Where the form of the filters begins.
FILTERS: Final = 'class="job-filters"'


@pytest.fixture
def client(broker: MemoryBroker, organization: Organization) -> APIClient:
    return client_of(make_user(admin_of=[organization]))


@pytest.fixture
def body(kind: JobType, organization: Organization) -> dict[str, Any]:
    return {"job_type": kind.pk, "organization": organization.name}


def refused(answer: Any) -> str:
    """The text of a page that tells of a mistake."""
    assert (answer.status_code, answer["Content-Type"]) == (400, "text/html; charset=utf-8")
    return html.unescape(answer.content.decode())


def line_of(text: str, name: str) -> str:
    """What the form has for a field: its label, input, errors and help."""
    found = re.search(rf'<div class="form-group(?:(?!<div class="form-group).)*name="{name}".*?</div>', text, re.DOTALL)
    assert found is not None
    return found[0]


def test_a_moment_that_is_none_is_shown_with_its_error(
    subtests: pytest.Subtests, client: APIClient, body: dict[str, Any]
) -> None:
    for run_at in ("tomorrow", "2026-13-45T00:00", "26", "2026-11-25T25:00Z"):
        for kind_of_body in ("multipart", "json"):
            with subtests.test(run_at=run_at, kind_of_body=kind_of_body):
                answer = client.post("/api/jobs/", {**body, "run_at": run_at}, kind_of_body, HTTP_ACCEPT="text/html")
                line = line_of(refused(answer), "run_at")
                assert f'value="{run_at}"' in line
                assert (codes(answer), "has-error" in line) == ({"run_at": ["invalid"]}, True)


def test_what_is_no_text_is_no_moment_either(
    subtests: pytest.Subtests, client: APIClient, body: dict[str, Any]
) -> None:
    cases: list[Any] = [5, [], {"a": 1}, True, "\x00"]
    for run_at in cases:
        with subtests.test(run_at=run_at):
            refused(client.post("/api/jobs/", {**body, "run_at": run_at}, "json", HTTP_ACCEPT="text/html"))


def test_a_moment_that_is_one_is_kept_when_something_else_is_wrong(client: APIClient, body: dict[str, Any]) -> None:
    moment = "2030-01-02T03:04:05+02:00"
    answer = client.post("/api/jobs/", {**body, "run_at": moment, "depends_on": "x"}, HTTP_ACCEPT="text/html")
    assert f'value="{moment}"' in line_of(refused(answer), "run_at")


@pytest.mark.parametrize("name", ["depends_on", "run_at"])
def test_half_a_character_is_shown_as_a_mark(client: APIClient, body: dict[str, Any], name: str) -> None:
    sent = json.dumps({**body, name: SURROGATE})
    answer = client.post("/api/jobs/", sent, content_type="application/json", HTTP_ACCEPT="text/html")
    assert "a?b" in refused(answer)


def test_half_a_character_in_a_job_type_is_shown_as_a_mark(subtests: pytest.Subtests, broker: MemoryBroker) -> None:
    for name in ("type_name", "display_name", "description", "handler_method", "requires_permission"):
        with rolled_back(subtests, name=name):
            body = {
                "type_name": "a",
                "handler_method": "tests.support.handlers.echo",
                "max_retries": "no",
                name: SURROGATE,
            }
            client, sent = client_of(make_system_admin()), json.dumps(body)
            answer = client.post("/api/job-types/", sent, content_type="application/json", HTTP_ACCEPT="text/html")
            assert "a?b" in refused(answer)


def test_what_is_wrong_inside_the_parameters_stands_beside_them(client: APIClient, organization: Organization) -> None:
    body = {"job_type": "pdf_generation", "organization": organization.name, "parameters": '{"template": "poem"}'}
    answer = client.post("/api/jobs/", {**body, "parameters": {"template": "poem"}}, "json")
    (text,) = answer.json()["parameters.template"]
    assert ('"poem"' in text, codes(answer)) == (True, {"parameters.template": ["invalid_choice"]})
    line = line_of(refused(client.post("/api/jobs/", body, HTTP_ACCEPT="text/html")), "parameters")
    assert f'<span class="help-block">template: {text}</span>' in line


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ({"created_after": "yesterday"}, "invalid"),
        ({"job_id": "JOB-1"}, "not_a_job_id"),
        ({"organization": "nobody"}, "unknown_organization"),
    ],
)
def test_a_wrong_filter_stands_in_the_form_with_its_error(client: APIClient, query: dict[str, str], code: str) -> None:
    answer = client.get("/api/jobs/", {**query, "owner": "alice"}, HTTP_ACCEPT="text/html")
    text = refused(answer)
    form = text[text.index(FILTERS) :].partition("</form>")[0]
    assert codes(answer) == {name: [code] for name in query}
    assert [form.count(texts[0]) for texts in answer.data.values()] == [1]
    assert all(f'value="{value}"' in form for value in (*query.values(), "alice"))
    assert 'id="filtersModal"' not in text  # it need not be opened first


def test_other_pages_of_mistakes_have_no_filter_form(client: APIClient, body: dict[str, Any]) -> None:
    text = refused(client.post("/api/jobs/", {**body, "priority": "Huge"}, HTTP_ACCEPT="text/html"))
    assert FILTERS not in text


@pytest.fixture
def many() -> list[Organization]:
    """One organization more than are offered, by name."""
    return Organization.objects.bulk_create(
        Organization(name=f"ORG-{number:05d}") for number in range(ASKED_AT_ONCE + 1)
    )


def test_more_organizations_than_are_offered_may_be_typed(
    broker: MemoryBroker, kind: JobType, many: list[Organization]
) -> None:
    client, last = client_of(make_user(member_of=many)), many[-1]
    line = line_of(client.get("/api/jobs/", HTTP_ACCEPT="text/html").content.decode(), "organization")
    assert [f'<option value="{item.name}">' in line for item in many] == [True] * ASKED_AT_ONCE + [False]
    assert ("<datalist" in line, str(ASKED_AT_ONCE) in line) == (True, True)
    body = {"job_type": kind.pk, "organization": last.name, "run_at": "never"}
    text = refused(client.post("/api/jobs/", body, HTTP_ACCEPT="text/html"))
    assert f'value="{last.name}"' in line_of(text, "organization")
    assert client.post("/api/jobs/", {**body, "run_at": ""}, HTTP_ACCEPT="text/html").status_code == 201
    assert Job.objects.get().organization_id == last.pk


def test_as_many_organizations_as_are_offered_are_a_list(broker: MemoryBroker, many: list[Organization]) -> None:
    client = client_of(make_user(member_of=many[:ASKED_AT_ONCE]))
    line = line_of(client.get("/api/jobs/", HTTP_ACCEPT="text/html").content.decode(), "organization")
    assert ('<select class="form-control"' in line, "<datalist" in line) == (True, False)


def test_a_page_that_tells_of_no_mistake_keeps_its_filters_behind_a_button(
    client: APIClient, organization: Organization
) -> None:
    pending_job(organization=organization)
    assert 'id="filtersModal"' in client.get("/api/jobs/", HTTP_ACCEPT="text/html").content.decode()
