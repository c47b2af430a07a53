"""Tickets that many use at the same moment."""

from __future__ import annotations

import pytest

from django_jobs.models import SocketTicket
from tests.concurrency.crowd import run_crowd
from tests.support import verbs
from tests.support.factories import make_user

pytestmark = pytest.mark.django_db(transaction=True)

CROWD = 8


def test_of_all_who_use_a_ticket_at_the_same_moment_one_is_let_in() -> None:
    user = make_user()
    tickets = [verbs.make_socket_ticket(user) for _ in range(10)]
    answers: list[bool] = []

    def use_all() -> None:
        answers.extend(verbs.use_socket_ticket(ticket) is not None for ticket in tickets)

    run_crowd([use_all] * CROWD)
    assert answers.count(True) == len(tickets)
    assert not SocketTicket.objects.exists()
