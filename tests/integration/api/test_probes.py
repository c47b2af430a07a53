"""health/ and metrics of a web server: who may read what, and what is told while the database is away."""

from __future__ import annotations

import sys
from typing import Any

import pytest
from django.db import OperationalError, connection
from django.test import Client, override_settings
from pytest_django import DjangoDbBlocker
from rest_framework.test import APIClient

from django_jobs.models import JobType, Organization
from tests.support.api import client_of
from tests.support.brokers import MemoryBroker, pending_job
from tests.support.factories import make_system_admin, make_user
from tests.support.probes import value_of
from tests.support.verbs import Interpose

LIVE, READY, METRICS = "/health/live", "/health/ready", "/metrics"
TOKEN = {"METRICS_TOKEN": "s3cret"}

# Probes close connections that do not answer.
pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("broker")]


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def test_everybody_may_ask_whether_it_is_live_and_ready() -> None:
    client = Client()
    assert [client.get(path).status_code for path in (LIVE, READY)] == [200, 200]
    assert client.get(READY).json() == {"status": "ready"}
    assert client.get(LIVE)["Cache-Control"] == "no-store"


def test_only_get_and_head_are_answered() -> None:
    client = Client()
    assert [client.head(LIVE).status_code, client.post(LIVE).status_code] == [200, 405]


def test_live_asks_nobody(django_db_blocker: DjangoDbBlocker) -> None:
    with django_db_blocker.block():
        assert Client().get(LIVE).status_code == 200


def test_a_database_that_is_away_is_told_without_what_its_error_says(interpose: Interpose) -> None:
    def fail() -> None:
        raise OperationalError("password authentication failed for user postgres")

    interpose("now", fail)
    answer = Client().get(READY)
    assert answer.status_code == 503
    (reason,) = answer.json()["reasons"]
    assert ("(OperationalError)" in reason, "postgres" in reason) == (True, False)


def test_a_broker_that_is_away_is_told(broker: MemoryBroker) -> None:
    broker.is_down = True
    answer = Client().get(READY)
    assert answer.status_code == 503
    (reason,) = answer.json()["reasons"]
    assert "(BrokerUnavailable)" in reason


def test_probes_that_come_at_once_ask_once(interpose: Interpose) -> None:
    asked: list[None] = []
    interpose("now", lambda: asked.append(None))
    assert [Client().get(READY).status_code for _ in range(5)] == [200] * 5
    assert len(asked) == 1


def test_a_system_admin_reads_the_gauges_of_the_installation(kind: JobType, organization: Organization) -> None:
    pending_job(kind, organization)
    answer = client_of(make_system_admin()).get(METRICS, HTTP_ACCEPT="application/openmetrics-text;version=1.0.0")
    assert answer.status_code == 200
    answer = client_of(make_system_admin()).get(METRICS)
    assert answer["Content-Type"].startswith("text/plain")
    text = answer.content.decode()
    assert value_of(text, "django_jobs_backlog", priority="normal") == 1
    assert value_of(text, "django_jobs_workers", pool="default", state="active") == 0
    assert value_of(text, "django_jobs_database_up") == 1


def test_nobody_else_may_read_metrics(organization: Organization) -> None:
    assert APIClient().get(METRICS).status_code == 401
    assert client_of(make_user(admin_of=[organization])).get(METRICS).status_code == 403


@override_settings(DJANGO_JOBS=TOKEN)
def test_who_has_the_token_needs_no_account() -> None:
    assert APIClient().get(METRICS, headers=bearer("s3cret")).status_code == 200


@override_settings(DJANGO_JOBS=TOKEN)
@pytest.mark.parametrize(
    "header", ["Bearer wrong", "Bearer", "Bearer s3cret x", "Token s3cret", "s3cret", "Bearer \xe9"]
)
def test_another_token_is_none(header: str) -> None:
    assert APIClient().get(METRICS, headers={"Authorization": header}).status_code == 401


def test_without_a_token_in_the_settings_an_empty_one_opens_nothing() -> None:
    assert APIClient().get(METRICS, headers=bearer("")).status_code == 401


@override_settings(DJANGO_JOBS={"METRICS_TOKEN": None})
def test_a_token_that_is_no_text_opens_nothing_by_its_name() -> None:
    assert APIClient().get(METRICS, headers=bearer("None")).status_code == 401


@override_settings(DJANGO_JOBS=TOKEN)
def test_a_scrape_with_the_token_is_answered_while_the_database_is_away(interpose: Interpose) -> None:
    def fail(*args: Any, **kwargs: Any) -> None:
        raise OperationalError

    interpose("now", fail)
    interpose("read_gauges", fail)
    with connection.execute_wrapper(fail):
        answer = APIClient().get(METRICS, headers=bearer("s3cret"))
    text = answer.content.decode()
    assert (answer.status_code, value_of(text, "django_jobs_database_up")) == (200, 0)
    assert "django_jobs_backlog" not in text


def test_who_is_known_by_the_database_alone_is_told_that_it_is_away() -> None:
    def fail(*args: Any, **kwargs: Any) -> None:
        raise OperationalError

    client = Client()
    client.force_login(make_system_admin())
    with connection.execute_wrapper(fail):
        answer = client.get(METRICS)
    assert (answer.status_code, "METRICS_TOKEN" in answer.json()["detail"]) == (503, True)


@override_settings(DJANGO_JOBS=TOKEN)
def test_without_the_library_metrics_say_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "prometheus_client", None)
    answer = APIClient().get(METRICS, headers=bearer("s3cret"))
    assert (answer.status_code, b"[prometheus]" in answer.content) == (501, True)
