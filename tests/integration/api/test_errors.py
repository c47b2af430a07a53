"""How errors are told, whatever the host's own settings are."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import connection
from rest_framework.response import Response
from rest_framework.settings import api_settings
from rest_framework.test import APIClient

from django_jobs.models import Organization
from tests.support import verbs
from tests.support.api import client_of
from tests.support.brokers import MemoryBroker
from tests.support.factories import make_user
from tests.support.verbs import Interpose


@pytest.fixture
def client(broker: MemoryBroker, organization: Organization) -> APIClient:
    return client_of(make_user(member_of=[organization]))


def test_an_error_has_a_detail_and_a_code(subtests: pytest.Subtests, client: APIClient) -> None:
    cases: list[tuple[str, str, dict[str, Any], int, str]] = [
        ("get", "/api/jobs/JOB-2026-00001/", {}, 404, "not_found"),
        ("get", "/api/job-types/no_such_type/", {}, 404, "not_found"),
        ("put", "/api/jobs/", {}, 405, "method_not_allowed"),
        ("delete", "/api/jobs/", {}, 405, "method_not_allowed"),
        ("get", "/api/jobs/bulk/", {}, 405, "method_not_allowed"),
        ("get", "/api/jobs/socket-ticket/", {}, 405, "method_not_allowed"),
        ("get", "/api/jobs/", {"HTTP_ACCEPT": "image/png"}, 406, "not_acceptable"),
        ("post", "/api/job-types/", {}, 403, "permission_denied"),
    ]
    for method, path, headers, status, code in cases:
        with subtests.test(method=method, path=path, headers=headers, status=status, code=code):
            answer = getattr(client, method)(path, **headers)
            assert (answer.status_code, answer.json()["code"]) == (status, code)
            assert answer.json().keys() == {"detail", "code"}


def test_a_body_that_cannot_be_read_is_invalid(client: APIClient) -> None:
    answer = client.post("/api/jobs/", b"{", content_type="application/json")
    assert (answer.status_code, answer.json()["code"]) == (400, "invalid")


@pytest.mark.parametrize("credentials", [{}, {"HTTP_AUTHORIZATION": "Token nonsense"}, {"HTTP_AUTHORIZATION": "Token"}])
def test_without_valid_credentials_one_is_asked_for_them(broker: MemoryBroker, credentials: dict[str, Any]) -> None:
    answer = client_of().get("/api/jobs/", **credentials)
    assert (answer.status_code, answer.json()["code"], answer["WWW-Authenticate"]) == (
        401,
        "not_authenticated",
        "Token",
    )


def test_the_hosts_own_handler_stays_for_the_hosts_own_views() -> None:
    handler: Any = api_settings.EXCEPTION_HANDLER
    assert handler.__module__ == "rest_framework.views"


def test_what_nobody_expects_goes_to_the_hosts_handler(
    client: APIClient, monkeypatch: pytest.MonkeyPatch, interpose: Interpose
) -> None:
    def handle(error: Exception, context: Any) -> Response:
        return Response({"told": str(error)}, status=503)

    def fail(*args: Any, **kwargs: Any) -> None:
        raise ZeroDivisionError("boom")

    monkeypatch.setattr(api_settings, "EXCEPTION_HANDLER", handle)
    interpose("get_job_metrics", fail)
    answer = client.get("/api/jobs/metrics/")
    assert (answer.status_code, answer.json()) == (503, {"told": "boom"})


#: A method takes forms, too.
SUBMIT = "/api/method/dartwing.dartwing_core.api.jobs.submit_job"


@pytest.mark.parametrize("content", [b"--x\r\nContent-Disposition: nonsense\r\n\r\n", b"", b"\x00\xff"])
def test_a_broken_form_is_invalid(client: APIClient, content: bytes) -> None:
    answer = client.post(SUBMIT, content, content_type="multipart/form-data; boundary=x")
    assert answer.status_code == 400


def test_a_form_of_too_many_fields_is_invalid(client: APIClient, settings: Any) -> None:
    settings.DATA_UPLOAD_MAX_NUMBER_FIELDS = 3
    answer = client.post(SUBMIT, {f"f{number}": number for number in range(5)})
    assert answer.status_code == 400


@pytest.mark.parametrize("path", ["/api/jobs/", "/api/jobs/metrics/", "/api/job-types/"])
def test_options_tell_what_may_be_asked(client: APIClient, path: str) -> None:
    assert client.options(path).status_code == 200


def test_no_view_is_atomic() -> None:
    patterns: list[Any] = [*verbs.api_urlpatterns, *verbs.method_urlpatterns]
    assert {pattern.name: getattr(pattern.callback, "_non_atomic_requests", None) for pattern in patterns} == {
        pattern.name: {"default"} for pattern in patterns
    }


@pytest.mark.parametrize(
    "path", ["/api/jobs/JOB-2026-00001/", "/api/method/dartwing.dartwing_core.api.jobs.get_job_status"]
)
def test_a_refusal_leaves_the_transaction_around_it_as_it_is(
    client: APIClient, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    monkeypatch.setitem(connection.settings_dict, "ATOMIC_REQUESTS", True)
    assert [client.get(path, {"job_id": "JOB-2026-00001"}).status_code for _ in range(2)] == [404, 404]
