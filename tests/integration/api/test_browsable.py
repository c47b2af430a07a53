"""The browsable API: lists, filters, links, and forms."""

from __future__ import annotations

import re
from typing import Any, Final

import pytest
from rest_framework.renderers import BrowsableAPIRenderer, JSONRenderer
from rest_framework.test import APIClient

from django_jobs.models import Job, JobType, Organization
from tests.support.api import client_of, url_of
from tests.support.brokers import MemoryBroker, pending_job
from tests.support.factories import make_job_type, make_system_admin, make_user


@pytest.fixture
def kind() -> JobType:
    return make_job_type(display_name="A <b>kind</b>")


@pytest.fixture
def client(broker: MemoryBroker, organization: Organization) -> APIClient:
    client = client_of()
    client.force_login(make_user(admin_of=[organization]))
    return client


def page(client: APIClient, path: str, **query: Any) -> str:
    answer = client.get(path, query, HTTP_ACCEPT="text/html")
    assert answer.status_code == 200
    return str(answer.content.decode())


def test_a_page_has_a_form_with_fields_and_one_that_sends_json(client: APIClient) -> None:
    text = page(client, "/api/jobs/")
    assert {"job_type", "organization", "parameters", "priority", "depends_on"} <= set(
        re.findall(r'name="(\w+)"', text)
    )
    assert re.search(r'<option value="application/json"', text)
    assert "&quot;job_type&quot;: &quot;&quot;" in text


def test_a_form_may_leave_fields_blank(client: APIClient, kind: JobType, organization: Organization) -> None:
    names = ("parameters", "priority", "depends_on", "run_at", "metadata", "csrfmiddlewaretoken")
    form = {"job_type": kind.pk, "organization": organization.name, **dict.fromkeys(names, "")}
    answer = client.post("/api/jobs/", form, HTTP_ACCEPT="text/html")
    assert (answer.status_code, "navbar-brand" in answer.content.decode()) == (201, True)
    form |= {"parameters": '{"a": 5}', "priority": "High"}
    answer = client.post("/api/jobs/", form)
    assert (answer.status_code, answer.json()["priority"]) == (201, "High")
    assert Job.objects.latest("pk").input_parameters == {"a": 5}


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"parameters": "[5]"}, "parameters"),
        ({"parameters": "{"}, "parameters"),
        ({"paramters": "{}"}, "paramters"),
        ({"priority": ["High", "Low"]}, "priority"),
    ],
)
def test_a_mistake_in_a_form_is_told_beside_its_field(
    client: APIClient, kind: JobType, organization: Organization, change: dict[str, Any], field: str
) -> None:
    form = {"job_type": kind.pk, "organization": organization.name, **change}
    answer = client.post("/api/jobs/", form, HTTP_ACCEPT="text/html")
    assert (answer.status_code, list(answer.data)) == (400, [field])
    assert "navbar-brand" in answer.content.decode()


BAD_BODIES: Final = [
    "null",
    "[5]",
    "{",
    '{"job_type": "\\ud800", "type_name": "\\ud800", "name": "\\ud800", "action": "\\ud800"}',
    '{"run_at": 5, "starts_at": 5, "depends_on": {"a": 1}, "filters": 5, "then": [5], "parameters": 7}',
]


@pytest.mark.parametrize("path", ["jobs/", "jobs/bulk/", "jobs/operations/", "batches/", "schedules/", "job-types/"])
def test_a_mistake_is_told_on_a_page(subtests: pytest.Subtests, broker: MemoryBroker, path: str) -> None:
    client = client_of()
    client.force_login(make_system_admin())
    for body in BAD_BODIES:
        with subtests.test(body=body):
            options: Any = {"content_type": "application/json", "HTTP_ACCEPT": "text/html"}
            answer = client.post(f"/api/{path}", body, **options)
            assert (answer.status_code, "navbar-brand" in answer.content.decode()) == (400, True)


@pytest.mark.parametrize("query", [{"status": "Sleeping"}, {"organization": "nobody"}, {"job_id": "a/b"}])
def test_a_wrong_filter_is_told_on_a_page(client: APIClient, query: dict[str, str]) -> None:
    answer = client.get("/api/jobs/", query, HTTP_ACCEPT="text/html")
    assert (answer.status_code, list(answer.data), "navbar-brand" in answer.content.decode()) == (400, [*query], True)


def test_the_list_has_a_filter_form_and_links_to_its_jobs(
    client: APIClient, kind: JobType, organization: Organization
) -> None:
    jobs = [pending_job(kind, organization) for _ in range(3)]
    text = page(client, "/api/jobs/", limit=2, status="Pending")
    assert 'name="created_before"' in text
    assert '<option value="Dead Letter">' in text
    assert [f'href="http://testserver{url_of(job)}"' in text for job in jobs] == [False, True, True]
    assert "offset=2" in text


@pytest.mark.parametrize(
    "query", [{"status": ["Pending", "Failed"]}, {"job_id": ["JOB-2026-00001"]}, {"priority": "High"}]
)
def test_the_filter_form_shows_what_was_asked_for(client: APIClient, query: dict[str, Any]) -> None:
    text = page(client, "/api/jobs/", **query)
    values = [value for found in query.values() for value in (found if isinstance(found, list) else [found])]
    assert all(f'value="{value}"' in text for value in values)


def test_a_job_links_to_its_history_output_and_parents(
    client: APIClient, kind: JobType, organization: Organization
) -> None:
    parent = pending_job(kind, organization)
    job = pending_job(kind, organization, depends_on=parent)
    text = page(client, url_of(job))
    for url in (url_of(job, "history"), url_of(parent), url_of(job, "output"), url_of(job, "cancel")):
        assert f'href="http://testserver{url}"' in text


def test_every_page_can_be_shown(subtests: pytest.Subtests, broker: MemoryBroker) -> None:
    cases: list[str] = [
        "/api/jobs/metrics/",
        "/api/jobs/bulk/",
        "/api/jobs/socket-ticket/",
        "/api/job-types/",
        "/api/job-types/echo/",
    ]
    make_job_type(type_name="echo", handler="echo")
    client = client_of()
    client.force_login(make_system_admin())
    for path in cases:
        with subtests.test(path=path):
            answer = client.get(path, HTTP_ACCEPT="text/html")
            assert answer.status_code in {200, 405}
            assert "navbar-brand" in answer.content.decode()


def test_an_anonymous_visitor_is_asked_to_log_in(broker: MemoryBroker) -> None:
    answer = client_of().get("/api/jobs/", HTTP_ACCEPT="text/html")
    assert (answer.status_code, "/login/?next=/api/jobs/" in answer.content.decode()) == (401, True)


def test_a_host_without_browsable_pages_gets_none(client: APIClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rest_framework.views.APIView.renderer_classes", [JSONRenderer])
    assert client.get("/api/jobs/", HTTP_ACCEPT="text/html").status_code == 406


def test_pages_that_a_host_renders_itself_stay_its_own(client: APIClient, monkeypatch: pytest.MonkeyPatch) -> None:
    class Own(BrowsableAPIRenderer):
        def render(self, *args: Any, **kwargs: Any) -> str:
            return "a page of the host"

    monkeypatch.setattr("rest_framework.views.APIView.renderer_classes", [Own])
    assert page(client, "/api/jobs/") == "a page of the host"
