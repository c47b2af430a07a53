"""Requests made up from our own schema: none ends in a 5xx, none gets an answer that the schema does not describe."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import pytest
import schemathesis
from django.core.signals import request_finished, request_started
from django.core.wsgi import get_wsgi_application
from django.db import close_old_connections, connection
from hypothesis import HealthCheck, Phase, given, seed, settings
from rest_framework.authtoken.models import Token
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from django_jobs import schedule_job
from tests.support.api import make_schema
from tests.support.batches import make_batch
from tests.support.brokers import MemoryBroker, job_in, pending_job
from tests.support.factories import make_job_type, make_organization, make_user
from tests.support.operations import begin

KEY: Final = "0" * 40
CHECKS: Final[Any] = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
]
SCHEMA: Final = schemathesis.openapi.from_dict(make_schema())
APP: Final = get_wsgi_application()
FOUND: Final[list[Any]] = list(SCHEMA.get_all_operations())
OPERATIONS: Final = {found.ok().label: found.ok() for found in FOUND}
MODES: Final = schemathesis.GenerationMode
CASES: Final = [(label, MODES.POSITIVE) for label in OPERATIONS]
#: What is found on one database is mostly found on each. PostgreSQL refuses the most values.
EXAMPLES: Final = 10 if connection.vendor == "postgresql" else 3
#: Of a call without fields nothing can be wrong.
CASES.extend((label, MODES.NEGATIVE) for label, found in OPERATIONS.items() if list(found.body) or list(found.query))


@pytest.fixture
def kept_connection() -> Iterator[None]:
    """As Django's own test client does: the end of a request leaves the test's connection alone."""
    for signal in (request_started, request_finished):
        signal.disconnect(close_old_connections)
    yield
    for signal in (request_started, request_finished):
        signal.connect(close_old_connections)


@pytest.fixture
def there(broker: MemoryBroker, settings: Any, kept_connection: None) -> dict[str, str]:
    """Somebody who may do everything, something to do it to, and no limit to how often."""
    rates = dict.fromkeys(["submit", "status", "list", "search", "cancel", "metrics"])
    settings.DJANGO_JOBS = {**settings.DJANGO_JOBS, "THROTTLE_RATES": rates}
    organization = make_organization(name="ORG-2026-00001")
    admin = make_user("admin", member_of=[organization], is_superuser=True)
    Token.objects.create(user=admin, key=KEY)
    kind = make_job_type(type_name="echo", handler="echo")
    dead = job_in("Dead Letter", job_type=kind, organization=organization)
    job = pending_job(kind, organization, user=admin)
    schedule = schedule_job("nightly", kind, organization, every=3600, user=admin)
    batch_id = make_batch(organization, "Failed").batch_id
    operation = begin(dead, admin)
    found = {"job_id": job.name, "type_name": kind.pk, "batch_id": batch_id}
    return {**found, "schedules": str(schedule.pk), "operations": str(operation.pk)}


def aimed(case: Any, there: dict[str, str]) -> Any:
    """The same request, about something that is there."""
    rows = case.path.rpartition("/{id}/")[0].rpartition("/")[2]
    case.path_parameters = {name: there[rows if name == "id" else name] for name in case.path_parameters or {}}
    if isinstance(case.body, dict) and "job_type" in case.body:
        case.body = {**case.body, "job_type": "echo", "organization": "ORG-2026-00001"}
    return case


@pytest.mark.parametrize(("label", "mode"), CASES)
def test_every_answer_is_described_and_none_is_a_server_error(
    label: str, mode: schemathesis.GenerationMode, there: dict[str, str]
) -> None:
    any_case = OPERATIONS[label].as_strategy(generation_mode=mode)

    @seed(2026)
    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=any_case | any_case.map(lambda case: aimed(case, there)))
    def try_cases(case: Any) -> None:
        case.call_and_validate(headers={"Authorization": f"Token {KEY}"}, checks=CHECKS, app=APP)

    try_cases()
