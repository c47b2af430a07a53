"""docs/api.md shows answers as they really are."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import pytest
from django.urls import resolve
from rest_framework.test import APIClient

from django_jobs.models import Organization
from django_jobs.testing import run_jobs
from example_project.shop import seeding
from example_project.shop.catalog import SHOPS
from tests.support import verbs
from tests.support.activity import roll_up
from tests.support.alerts import make_alert, scheduler_ticks
from tests.support.api import client_of
from tests.support.api_page import Exchange, Replay, steps_of
from tests.support.documents import DOCS
from tests.support.factories import make_organization, make_system_admin, make_user
from tests.support.tuning import Tuning
from tests.support.verbs import METHODS

PAGE: Final = DOCS / "api.md"


def let_a_type_fail() -> None:
    """As it was in the night of which the page tells."""
    scheduler_ticks()
    facts = {
        "since": "2026-01-05T02:12:00+00:00",
        "failed": 863,
        "attempts": 863,
        "fingerprint": "3f0c8a5e1f0b7d1c9a4e2b6d8c7f5a31",
        "error": "InvalidMailer",
        "exception": "InvalidMailer: connection refused",
        "organizations": {str(Organization.objects.get(name="ORG-2025-00001").pk): 363},
    }
    make_alert("type_failing", "send_welcome_email", facts)


class Reader:
    """Follows the page: as alice, an organization admin, or as the system admin where it says so."""

    def __init__(self) -> None:
        organization = make_organization(name="ORG-2025-00001")
        seeding.seed_orders(SHOPS[0], organization)
        make_organization(name="ORG-2025-00002")
        people = {"alice": make_user("alice", admin_of=[organization]), "root": make_system_admin("root")}
        self.clients: dict[str, APIClient] = {name: client_of(user) for name, user in people.items()}
        self.client = self.clients["alice"]
        self.replay = Replay()

    def follow(self, page: str) -> list[str]:
        """What differs from the page."""
        found: list[str] = []
        for step in steps_of(page):
            if isinstance(step, str):
                self.notes[step](self)
            else:
                found += self.compare(step)
        return found

    def compare(self, exchange: Exchange) -> list[str]:
        answer = self.replay.send(self.client, exchange)
        where = f"{exchange.method} {exchange.path}"
        if answer.status_code != exchange.status:
            return [f"{where}: {exchange.status} on the page, {answer.status_code} in truth"]
        b"".join(getattr(answer, "streaming_content", ()))  # which closes the file
        is_json = answer.get("Content-Type") == "application/json"
        return self.replay.differences(exchange.answer, answer.json() if is_json else None, where)

    def become(self, name: str) -> None:
        self.client = self.clients[name]

    notes: Final[dict[str, Callable[[Reader], Any]]] = {
        "a worker runs the jobs": lambda _: (run_jobs(), roll_up()),
        "a type fails": lambda _: let_a_type_fail(),
        "as a system admin": lambda self: self.become("root"),
        "as alice": lambda self: self.become("alice"),
    }


@pytest.mark.slow
@pytest.mark.usefixtures("broker")
@pytest.mark.django_db(transaction=True)  # as in a web server, a job is dispatched before its submission is answered
def test_every_answer_of_the_page_is_as_it_is_shown(tuning: Tuning) -> None:
    tuning.set(log_open_seconds=0.0)  # MariaDB counts what happened once this is over
    assert Reader().follow(PAGE.read_text()) == []


def calls_there_are() -> set[str]:
    """``post job-cancel`` and the like, and the methods by their names. PUT is a PATCH with all fields."""
    methods = {"get", "post", "patch", "delete"}
    patterns: list[Any] = verbs.api_urlpatterns
    routes = {f"{verb} {route.name}" for route in patterns for verb in methods & route.callback.actions.keys()}
    return routes | set(METHODS)


def calls_shown() -> set[str]:
    """Those that the page shows, with their answers."""
    exchanges = [step for step in steps_of(PAGE.read_text()) if isinstance(step, Exchange)]
    named = [(exchange.method.lower(), resolve(exchange.path.partition("?")[0]).url_name) for exchange in exchanges]
    return {str(name) if name in METHODS else f"{verb} {name}" for verb, name in named}


def test_the_page_shows_every_call() -> None:
    assert {"post job-bulk", "patch jobtype-detail", "get_job_history"} <= calls_there_are()
    assert calls_there_are() - calls_shown() == set()
