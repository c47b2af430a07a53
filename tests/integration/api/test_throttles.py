"""How often one may ask."""

from __future__ import annotations

from typing import Any, Final

import pytest
from django.urls import reverse
from rest_framework.test import APIClient

from django_jobs.models import Job, Organization
from tests.support import verbs
from tests.support.api import client_of, url_of
from tests.support.brokers import MemoryBroker, pending_job
from tests.support.factories import make_job_type, make_system_admin, make_user
from tests.support.verbs import THROTTLE_RATES, JobsThrottle

METHOD: Final = "/api/method/dartwing.dartwing_core.api.jobs."


@pytest.fixture
def client(broker: MemoryBroker, organization: Organization, settings: Any) -> APIClient:
    """Of somebody who may ask for each kind of thing once a minute."""
    settings.DJANGO_JOBS = {**settings.DJANGO_JOBS, "THROTTLE_RATES": dict.fromkeys(THROTTLE_RATES, "1/min")}
    return client_of(make_user(admin_of=[organization]))


def operation(filters: dict[str, Any]) -> dict[str, Any]:
    return {"action": "cancel", "filters": filters, "dry_run": True}


def asked(client: APIClient, job: Job) -> dict[str, list[Any]]:
    """A call of each kind, in the scope that it counts against."""
    submission = {"job_type": job.job_type_id, "organization": job.organization_name}
    return {
        "submit": [
            lambda: client.post("/api/jobs/", submission, "json"),
            lambda: client.post("/api/jobs/bulk/", [submission], "json"),
            lambda: client.post(f"{METHOD}submit_job", submission, "json"),
            lambda: client.post("/api/batches/", {"organization": job.organization_name}, "json"),
            lambda: client.post("/api/batches/BATCH-2026-00001/close/"),
        ],
        "submit_items": [lambda: client.post("/api/jobs/bulk/", [submission], "json")],
        "status": [
            lambda: client.get(url_of(job)),
            lambda: client.get(url_of(job, "history")),
            lambda: client.get(url_of(job, "output")),
            lambda: client.get("/api/batches/BATCH-2026-00001/"),
            lambda: client.get(f"{METHOD}get_job_status", {"job_id": job.name}),
        ],
        "list": [
            lambda: client.get("/api/jobs/"),
            lambda: client.get("/api/job-types/"),
            lambda: client.get("/api/batches/"),
            lambda: client.get(f"{METHOD}list_jobs"),
        ],
        "search": [
            lambda: client.get("/api/jobs/", {"search": "no route"}),
            lambda: client.get(f"{METHOD}list_jobs", {"search": "no route"}),
            lambda: client.post(f"{METHOD}list_jobs", {"search": ["no route"]}, "json"),
            lambda: client.post(f"{METHOD}list_jobs", {"search": 404}, "json"),
            lambda: client.post("/api/jobs/operations/", operation({"error": "no route"}), "json"),
            lambda: client.post("/api/jobs/operations/", operation({"search": "no route"}), "json"),
            lambda: client.post("/api/jobs/operations/", operation({"has_error": True}), "json"),
        ],
        "cancel": [
            lambda: client.post(url_of(job, "cancel")),
            lambda: client.post(url_of(job, "retry")),
            lambda: client.post("/api/batches/BATCH-2026-00001/cancel/"),
            lambda: client.post("/api/batches/BATCH-2026-00001/retry/"),
            lambda: client.post(f"{METHOD}cancel_job", {"job_id": job.name}, "json"),
        ],
        "metrics": [lambda: client.get("/api/jobs/metrics/"), lambda: client.get(f"{METHOD}get_job_metrics")],
    }


@pytest.mark.parametrize("scope", THROTTLE_RATES)
def test_each_kind_of_call_has_its_own_rate(
    client: APIClient, organization: Organization, settings: Any, scope: str
) -> None:
    rates = dict.fromkeys(THROTTLE_RATES) | {scope: "1/min"}
    settings.DJANGO_JOBS = {**settings.DJANGO_JOBS, "THROTTLE_RATES": rates}
    first, *others = asked(client, pending_job(None, organization))[scope]
    assert first().status_code < 400
    refused = [first(), *(call() for call in others)]
    assert {answer.status_code for answer in refused} == {429}
    assert all(1 <= int(answer["Retry-After"]) <= 60 for answer in refused)
    assert refused[0].json()["code"] == "throttled"


ROUTES: Final[list[Any]] = verbs.api_urlpatterns
#: What docs/api.md says that each call counts against, by the name of its address.
SCOPES: Final = {
    "job-list": {"get": "list", "post": "submit"},
    "job-bulk": {"post": "submit"},
    "job-metrics": {"get": "metrics"},
    "job-socket-ticket": {"post": "status"},
    "job-detail": {"get": "status", "delete": "cancel"},
    "job-cancel": {"post": "cancel"},
    "job-history": {"get": "status"},
    "job-output": {"get": "status"},
    "job-retry": {"post": "cancel"},
    "operation-list": {"get": "list", "post": "cancel"},
    "operation-detail": {"get": "status"},
    "operation-pause": {"post": "cancel"},
    "operation-resume": {"post": "cancel"},
    "operation-stop": {"post": "cancel"},
    "batch-list": {"get": "list", "post": "submit"},
    "batch-detail": {"get": "status"},
    "batch-cancel": {"post": "cancel"},
    "batch-close": {"post": "submit"},
    "batch-retry": {"post": "cancel"},
    "jobtype-list": {"get": "list", "post": "submit"},
    "jobtype-detail": {"get": "status", "put": "submit", "patch": "submit", "delete": "submit"},
    "alert-list": {"get": "list"},
    "schedule-list": {"get": "list", "post": "submit"},
    "schedule-preview": {"get": "status", "post": "status"},
    "schedule-fire": {"post": "submit"},
    "schedule-firings": {"get": "status"},
    "schedule-pause": {"post": "cancel"},
    "schedule-resume": {"post": "cancel"},
    "schedule-detail": {"get": "status", "put": "submit", "patch": "submit", "delete": "cancel"},
}


def address_of(name: str) -> str:
    """The address of a route, with a number in place of each id."""
    (pattern,) = [pattern for pattern in ROUTES if pattern.name == name]
    return reverse(f"django_jobs:{name}", kwargs=dict.fromkeys(pattern.pattern.regex.groupindex, "1"))


def test_each_action_counts_against_the_rate_that_the_docs_name(
    broker: MemoryBroker, settings: Any, subtests: pytest.Subtests
) -> None:
    client = client_of(make_system_admin())
    assert {pattern.name: set(pattern.callback.actions) - {"head"} for pattern in ROUTES} == {
        name: set(scopes) for name, scopes in SCOPES.items()
    }
    for name, scopes in SCOPES.items():
        for method, scope in scopes.items():
            for rates, is_refused in (
                ({scope: "0/min"}, True),
                (dict.fromkeys(THROTTLE_RATES, "0/min") | {scope: None}, False),
            ):
                with subtests.test(name=name, method=method, scope=scope, is_refused=is_refused):
                    given = dict.fromkeys(THROTTLE_RATES) | rates
                    settings.DJANGO_JOBS = {**settings.DJANGO_JOBS, "THROTTLE_RATES": given}
                    answer = getattr(client, method)(address_of(name), {}, "json")
                    assert (answer.status_code == 429) is is_refused


def test_one_kind_does_not_count_against_another(client: APIClient, organization: Organization) -> None:
    calls = asked(client, pending_job(None, organization))
    del calls["submit_items"], calls["search"]  # a bulk is a submission, too, and a search a list
    assert [kinds[0]().status_code for kinds in calls.values()] == [201, 200, 200, 200, 200]


def test_one_user_does_not_count_against_another(client: APIClient, broker: MemoryBroker) -> None:
    client.get("/api/jobs/")
    other = APIClient()
    other.force_authenticate(make_user())
    assert other.get("/api/jobs/").status_code == 200


def rate_of(scope: str) -> tuple[Any, Any]:
    """So many requests in so many seconds."""
    throttle: Any = JobsThrottle(scope)
    return throttle.num_requests, throttle.duration


def test_the_rates_are_those_of_the_contract(settings: Any) -> None:
    assert {scope: rate_of(scope) for scope in THROTTLE_RATES} == {
        "submit": (100, 60),
        "submit_items": (3000, 60),
        "status": (600, 60),
        "list": (60, 60),
        "search": (10, 60),
        "cancel": (30, 60),
        "metrics": (30, 60),
    }


def test_one_rate_may_be_changed_and_another_lifted(settings: Any) -> None:
    settings.DJANGO_JOBS = {"THROTTLE_RATES": {"submit": "5/hour", "list": None}}
    assert (rate_of("submit"), rate_of("list"), rate_of("status")) == ((5, 3600), (None, None), (600, 60))
    assert JobsThrottle("list").allow_request(None, None)


def test_a_cache_that_fails_lets_requests_pass(client: APIClient, settings: Any) -> None:
    settings.CACHES = {"default": {"BACKEND": "tests.support.caches.BrokenCache"}}
    assert [client.get("/api/jobs/").status_code for _ in range(3)] == [200, 200, 200]


def test_the_hosts_own_throttles_count_too(
    client: APIClient, organization: Organization, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rest_framework.views.APIView.throttle_classes", [Never])
    answer = client.post("/api/jobs/", {"job_type": make_job_type().pk, "organization": organization.name}, "json")
    assert (answer.status_code, answer["Retry-After"]) == (429, "7")


class Never:
    """A host's throttle that lets nobody pass."""

    def allow_request(self, request: Any, view: Any) -> bool:
        return False

    def wait(self) -> float:
        return 7
