"""Connections that do not do any more what they are for."""

from __future__ import annotations

from typing import Final

import pytest
from django.db import Error, connection

from django_jobs.models import EngineLease, Worker
from tests.support import verbs
from tests.support.brokers import WORKER
from tests.support.verbs import ChildState, Housekeeper

pytestmark = pytest.mark.django_db(transaction=True)

#: What makes a connection answer every write as one to a server that only reads does.
READ_ONLY: Final = {
    "sqlite": "PRAGMA query_only = ON",
    "postgresql": "SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY",
    "mysql": "SET SESSION TRANSACTION READ ONLY",
}


def become_read_only() -> None:
    with connection.cursor() as cursor:
        cursor.execute(READ_ONLY[connection.vendor])


def test_a_connection_to_a_server_that_became_read_only_is_given_up_after_the_first_refusal() -> None:
    become_read_only()
    with pytest.raises(Error) as refusal:
        EngineLease.objects.create(name="of the old server")

    verbs.mend_connections()

    assert verbs.is_lost_connection(refusal.value)
    EngineLease.objects.create(name="of the new server")


def test_a_child_whose_heartbeat_was_refused_sends_the_next_one_on_another_connection(state: ChildState) -> None:
    housekeeper = Housekeeper(state, supervisor=1)
    become_read_only()
    shown = []
    for _ in range(2):
        housekeeper._guarded("heartbeat", housekeeper.announce)
        shown.append(Worker.objects.filter(name=WORKER).exists())
    assert shown == [False, True]


def test_a_connection_that_never_failed_stays() -> None:
    connection.ensure_connection()
    before = connection.connection
    verbs.mend_connections()
    assert connection.connection is before
