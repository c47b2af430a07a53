"""The OpenAPI schema, and the core without the extra that makes it."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest
from drf_spectacular.drainage import GENERATOR_STATS
from drf_spectacular.generators import SchemaGenerator
from drf_spectacular.validation import validate_schema
from pytest_django import DjangoDbBlocker

from django_jobs.statuses import Status
from django_jobs.values import BatchStatus, JobStatus
from tests.support.api import client_of, make_schema
from tests.support.factories import make_user

ROUTES = {
    "/api/jobs/": {"get", "post"},
    "/api/jobs/bulk/": {"post"},
    "/api/jobs/metrics/": {"get"},
    "/api/jobs/socket-ticket/": {"post"},
    "/api/jobs/{job_id}/": {"get", "delete"},
    "/api/jobs/{job_id}/cancel/": {"post"},
    "/api/jobs/{job_id}/retry/": {"post"},
    "/api/jobs/{job_id}/history/": {"get"},
    "/api/jobs/{job_id}/output/": {"get"},
    "/api/jobs/operations/": {"get", "post"},
    "/api/jobs/operations/{id}/": {"get"},
    "/api/jobs/operations/{id}/pause/": {"post"},
    "/api/jobs/operations/{id}/resume/": {"post"},
    "/api/jobs/operations/{id}/stop/": {"post"},
    "/api/batches/": {"get", "post"},
    "/api/batches/{batch_id}/": {"get"},
    "/api/batches/{batch_id}/close/": {"post"},
    "/api/batches/{batch_id}/cancel/": {"post"},
    "/api/batches/{batch_id}/retry/": {"post"},
    "/api/job-types/": {"get", "post"},
    "/api/job-types/{type_name}/": {"get", "put", "patch", "delete"},
    "/api/alerts/": {"get"},
    "/api/schedules/": {"get", "post"},
    "/api/schedules/preview/": {"get", "post"},
    "/api/schedules/{id}/": {"get", "put", "patch", "delete"},
    "/api/schedules/{id}/fire/": {"post"},
    "/api/schedules/{id}/firings/": {"get"},
    "/api/schedules/{id}/pause/": {"post"},
    "/api/schedules/{id}/resume/": {"post"},
    "/api/method/dartwing.dartwing_core.api.jobs.submit_job": {"post"},
    "/api/method/dartwing.dartwing_core.api.jobs.cancel_job": {"post"},
    "/api/method/dartwing.dartwing_core.api.jobs.retry_job": {"post"},
    "/api/method/dartwing.dartwing_core.api.jobs.get_job_status": {"get", "post"},
    "/api/method/dartwing.dartwing_core.api.jobs.get_job_history": {"get", "post"},
    "/api/method/dartwing.dartwing_core.api.jobs.get_job_metrics": {"get", "post"},
    "/api/method/dartwing.dartwing_core.api.jobs.list_jobs": {"get", "post"},
}


@pytest.fixture
def schema() -> dict[str, Any]:
    return make_schema()


def test_making_it_touches_no_database(django_db_blocker: DjangoDbBlocker) -> None:
    with django_db_blocker.block():
        make_schema()


def test_it_is_valid(schema: dict[str, Any]) -> None:
    validate_schema(schema)  # type: ignore[no-untyped-call]


def test_it_is_made_without_a_warning(capsys: pytest.CaptureFixture[str]) -> None:
    """``check --deploy`` of a host with the extra tells each of them."""
    GENERATOR_STATS.reset()  # it prints each warning once in a process
    make_schema()
    assert capsys.readouterr().err == ""
    assert not GENERATOR_STATS


def test_every_call_says_in_a_sentence_what_it_does(schema: dict[str, Any]) -> None:
    told = {
        (path, method): operation.get("summary")
        for path, methods in schema["paths"].items()
        for method, operation in methods.items()
    }
    assert all(told.values()), told
    for path in {path for path, _ in told if "/method/" not in path}:  # a method's GET and POST do the same
        summaries = [summary for (other, _), summary in told.items() if other == path and "preview" not in path]
        assert len(set(summaries)) == len(summaries)


def test_it_describes_every_route(schema: dict[str, Any]) -> None:
    assert {path: set(methods) for path, methods in schema["paths"].items()} == ROUTES


@pytest.mark.parametrize(("name", "kind"), [("Job", JobStatus), ("Batch", BatchStatus)])
def test_it_names_the_fields_of_a_status(schema: dict[str, Any], name: str, kind: Any) -> None:
    assert list(schema["components"]["schemas"][name]["properties"]) == list(kind.__slots__)


def test_it_says_of_which_type_the_fields_of_a_status_are(schema: dict[str, Any]) -> None:
    fields = schema["components"]["schemas"]["Job"]["properties"]
    assert fields["status"] == {"anyOf": [{"type": "string", "enum": Status.values}]}
    assert fields["progress"] == {"type": "integer", "minimum": 0, "maximum": 100}
    assert fields["created_at"] == {"type": "string", "format": "date-time"}
    assert fields["run_at"] == {"type": ["string", "null"], "format": "date-time"}
    assert fields["depends_on"] == {"type": "array", "items": {"type": "string"}}
    assert (fields["owner"]["type"], bool(fields["owner"]["description"])) == ("string", True)


@pytest.mark.parametrize(
    ("path", "method", "statuses"),
    [
        ("/api/jobs/", "post", {"201", "400", "401", "403", "409", "413", "415", "429"}),
        ("/api/jobs/{job_id}/cancel/", "post", {"200", "202", "401", "403", "404", "409", "429"}),
        ("/api/jobs/{job_id}/output/", "get", {"200", "401", "403", "404", "429"}),
        ("/api/jobs/{job_id}/", "delete", {"204", "401", "403", "404", "409"}),
    ],
)
def test_it_describes_the_errors(schema: dict[str, Any], path: str, method: str, statuses: set[str]) -> None:
    assert statuses <= set(schema["paths"][path][method]["responses"])


def test_it_describes_what_every_call_answers_where_the_access_policy_fails(schema: dict[str, Any]) -> None:
    told = {
        (path, method): operation["responses"]["500"]["content"]["application/json"]["schema"]["$ref"]
        for path, operations in schema["paths"].items()
        for method, operation in operations.items()
        if path.startswith("/api/")
    }
    assert {path for path, _ in told} >= ROUTES.keys()
    assert set(told.values()) == {"#/components/schemas/Error", "#/components/schemas/MethodError"}


def test_it_says_what_a_parameter_takes(schema: dict[str, Any]) -> None:
    def parameters(path: str, method: str = "get") -> dict[str, Any]:
        return {item["name"]: item for item in schema["paths"][path][method]["parameters"]}

    words, numbers = parameters("/api/jobs/")["priority"]["schema"]["items"]["oneOf"]
    assert (sorted(words["enum"]), numbers["enum"]) == (["Critical", "High", "Low", "Normal"], [0, 1, 2, 3])
    after = parameters("/api/jobs/{job_id}/history/")["after"]["schema"]
    assert (after["type"], after["minimum"]) == ("integer", 0)
    for name in ("get_job_status", "get_job_history"):
        path = f"/api/method/dartwing.dartwing_core.api.jobs.{name}"
        assert parameters(path)["job_id"]["required"]
        assert "required" not in parameters(path, "post")["job_id"]  # the body may have it


def test_the_example_project_serves_it_and_a_page_without_any_other_host(broker: Any) -> None:
    client = client_of(make_user())
    assert json.loads(client.get("/api/schema/?format=json").content)["paths"].keys() == ROUTES.keys()
    page = client.get("/api/docs/").content.decode()
    assert "swagger-ui" in page
    assert "//" not in page.replace("http://testserver", "").replace("// ", "")


def test_the_example_project_makes_it_once_for_a_format_and_a_language(
    broker: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    stranger = client_of()
    first = [stranger.get("/api/schema/", {"format": name}).content for name in ("json", "yaml")]

    def fail(*_: object, **__: object) -> None:
        raise AssertionError("It is made again.")

    monkeypatch.setattr(SchemaGenerator, "get_schema", fail)
    for query in ({}, {"format": "yaml", "lang": "xx"}, {"format": "json", "version": "7"}):
        assert stranger.get("/api/schema/", query).content in first


WITHOUT_EXTRA = """
import sys
for name in ("drf_spectacular", "drf_spectacular_sidecar", "inflection", "uritemplate"):
    sys.modules[name] = None
from importlib import util
found = util.find_spec
util.find_spec = lambda name, *rest: None if name in sys.modules and sys.modules[name] is None else found(name, *rest)
import django
django.setup()
from django.core.management import call_command
from django.test import Client
call_command("check")
assert Client(SERVER_NAME="localhost").get("/api/jobs/").status_code == 401
assert Client(SERVER_NAME="localhost").get("/api/schema/").status_code == 404
assert "drf_spectacular" not in [name for name, module in sys.modules.items() if module]
print("works")
"""


def test_the_core_works_without_the_extra() -> None:
    result = subprocess.run([sys.executable, "-c", WITHOUT_EXTRA], capture_output=True, text=True, check=False)
    assert (result.stdout.strip().splitlines()[-1:], result.returncode) == (["works"], 0), result.stderr
