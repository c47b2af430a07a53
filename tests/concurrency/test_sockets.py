"""Tickets that many use, and seats that many want, at the same moment."""

from __future__ import annotations

import pytest

from django_jobs.models import OpenSocket, SocketTicket
from tests.concurrency.crowd import run_crowd
from tests.support import verbs
from tests.support.factories import make_user
from tests.support.verbs import SOCKETS_A_USER, SocketSeat, SocketSeats

pytestmark = pytest.mark.django_db(transaction=True)

CROWD = 8
ROUNDS = 20


def test_of_all_who_use_a_ticket_at_the_same_moment_one_is_let_in() -> None:
    user = make_user()
    tickets = [verbs.make_socket_ticket(user) for _ in range(10)]
    answers: list[bool] = []

    def use_all() -> None:
        answers.extend(verbs.use_socket_ticket(ticket) is not None for ticket in tickets)

    run_crowd([use_all] * CROWD)
    assert answers.count(True) == len(tickets)
    assert not SocketTicket.objects.exists()


def test_however_many_processes_open_sockets_at_once_a_user_has_no_more_than_allowed() -> None:
    user = make_user()
    taken: list[bool] = []

    def open_some() -> None:
        seats = SocketSeats()
        taken.extend(seats.take(user.pk) is not None for _ in range(5))

    run_crowd([open_some] * CROWD)
    assert taken.count(True) == SOCKETS_A_USER == OpenSocket.objects.count()


def test_sockets_that_open_together_while_others_close_are_no_more_than_allowed() -> None:
    users = [make_user(), make_user()]
    held: list[SocketSeat] = []

    def open_and_close() -> None:
        seats, mine = SocketSeats(), []
        for _ in range(ROUNDS):
            mine += [seat for seat in seats.take_all([user.pk for user in users] * 7) if seat is not None]
            while len(mine) > 2:
                seats.give_back(mine.pop())
            assert seats.renew() == []
        held.extend(mine)

    run_crowd([open_and_close] * CROWD)
    assert len({seat.id for seat in held}) == len(held)
    assert {seat.id for seat in held} == set(OpenSocket.objects.values_list("id", flat=True))
