"""The browsable API: forms, filters and links."""

from __future__ import annotations

import html
import re
from typing import Any

import pytest
from rest_framework.renderers import BrowsableAPIRenderer, JSONRenderer
from rest_framework.test import APIClient

from django_jobs.models import Job, JobType, Organization
from tests.support import verbs
from tests.support.api import client_of, codes, url_of
from tests.support.brokers import MemoryBroker, end, job_in, pending_job, returned, start
from tests.support.cases import rolled_back
from tests.support.factories import make_job_type, make_organization, make_system_admin, make_user


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


def options(text: str, name: str) -> list[str]:
    found = re.search(f'<select class="form-control" name="{name}">(.*?)</select>', text, re.DOTALL)
    assert found is not None
    return re.findall(r'<option value="([^"]*)"', found[1])


def test_the_form_offers_the_types_and_organizations_that_one_may_use(
    client: APIClient, kind: JobType, organization: Organization
) -> None:
    foreign = make_organization()
    disabled = make_job_type(is_enabled=False)
    text = page(client, "/api/jobs/")
    assert options(text, "organization") == [organization.name]
    assert kind.pk in options(text, "job_type")
    assert disabled.pk not in options(text, "job_type")
    assert options(text, "priority") == ["", "Critical", "High", "Normal", "Low"]
    assert foreign.name not in text
    assert "<b>kind</b>" not in text


@pytest.mark.parametrize("path", ["/api/job-types/", "/api/jobs/", "/api/batches/", "/api/schedules/", "/api/alerts/"])
def test_a_description_shows_code_as_code(client: APIClient, path: str) -> None:
    text = page(client, path)
    assert "``" not in text
    assert ("<code>parameters_schema</code>" in text) == (path == "/api/job-types/")


def test_the_form_submits(client: APIClient, kind: JobType, organization: Organization) -> None:
    body = {
        "job_type": kind.pk,
        "organization": organization.name,
        "parameters": '{"n": 1}',
        "priority": "",
        "depends_on": "",
        "run_at": "",
        "metadata": "",
    }
    answer = client.post("/api/jobs/", body, HTTP_ACCEPT="text/html")
    assert answer.status_code == 201
    assert Job.objects.get().input_parameters == {"n": 1}
    assert url_of(Job.objects.get()) in answer.content.decode()


@pytest.mark.parametrize(("parameters", "code"), [('{"template": "po\u00ebm"', "invalid"), ('["po\u00ebm"]', "object")])
def test_the_form_keeps_its_content_when_its_json_is_wrong(
    client: APIClient, kind: JobType, organization: Organization, parameters: str, code: str
) -> None:
    body = {"job_type": kind.pk, "organization": organization.name, "parameters": parameters, "priority": "High"}
    answer = client.post("/api/jobs/", body, HTTP_ACCEPT="text/html")
    text = html.unescape(answer.content.decode())
    assert answer.status_code == 400
    assert parameters in text
    assert codes(answer) == {"parameters": [code]}
    assert answer.data["parameters"][0] in text
    assert f'<option value="{kind.pk}" selected' in text
    assert '<option value="High" selected' in text


def test_the_form_keeps_its_content_when_the_engine_refuses_it(
    client: APIClient, kind: JobType, organization: Organization
) -> None:
    body = {
        "job_type": kind.pk,
        "organization": organization.name,
        "parameters": '{"a": 1}',
        "depends_on": "JOB-2026-99999",
    }
    answer = client.post("/api/jobs/", body, HTTP_ACCEPT="text/html")
    text = html.unescape(answer.content.decode())
    assert answer.status_code == 400
    assert '{"a": 1}' in text
    assert codes(answer) == {"depends_on": ["unknown_job"]}
    assert f'<span class="help-block">{answer.data["depends_on"][0]}</span>' in text


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


def test_wrong_filters_are_told_on_a_page(client: APIClient) -> None:
    answer = client.get("/api/jobs/", {"status": "Sleeping"}, HTTP_ACCEPT="text/html")
    assert (answer.status_code, codes(answer)) == (400, {"status": ["not_a_status"]})
    assert html.escape("'Sleeping'") in answer.content.decode()


def test_a_job_links_to_its_history_output_parents_and_children(
    client: APIClient, kind: JobType, organization: Organization
) -> None:
    parent = pending_job(kind, organization)
    job = pending_job(kind, organization, depends_on=parent)
    child = pending_job(kind, organization, depends_on=job)
    text = page(client, url_of(job))
    for url in (url_of(job, "history"), url_of(parent), url_of(child), url_of(job, "cancel")):
        assert f'"http://testserver{url}"' in text
    assert url_of(job, "output") not in text.partition("content-main")[2].partition("response-info")[0]


def test_a_job_with_a_file_links_to_it(client: APIClient, kind: JobType, organization: Organization) -> None:
    job = pending_job(kind, organization)
    reference = verbs.save_output(organization.pk, job.name, "a.txt", "text")
    end(returned(start(job), None, reference))
    assert f'<a href="http://testserver{url_of(job, "output")}">' in page(client, url_of(job))


def test_a_job_has_the_buttons_that_its_status_allows(
    subtests: pytest.Subtests, client: APIClient, kind: JobType, organization: Organization
) -> None:
    cases: list[tuple[str, bool, bool]] = [
        ("Pending", True, False),
        ("Running", True, False),
        ("Failed", True, True),
        ("Dead Letter", False, True),
        ("Completed", False, False),
    ]
    for status, cancel, retry in cases:
        with rolled_back(subtests, status=status, cancel=cancel, retry=retry):
            job = job_in(status, job_type=kind, organization=organization)
            text = page(client, url_of(job))
            offered = [f'action="http://testserver{url_of(job, verb)}"' in text for verb in ("cancel", "retry")]
            assert offered == [cancel, retry]


def test_a_button_of_a_page_works(client: APIClient, kind: JobType, organization: Organization) -> None:
    job = pending_job(kind, organization)
    strict = client_of(enforce_csrf_checks=True)
    strict.cookies = client.cookies
    token = re.search(r'name="csrfmiddlewaretoken" value="([^"]+)"', page(strict, url_of(job)))
    assert token is not None
    answer = strict.post(url_of(job, "cancel"), {"csrfmiddlewaretoken": token[1]}, HTTP_ACCEPT="text/html")
    assert (answer.status_code, Job.objects.get().status) == (200, "Canceled")


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
