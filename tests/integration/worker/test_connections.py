"""Connections that do not do any more what they are for."""

from __future__ import annotations

from typing import Final

import pytest
from django.db import Error, connection

from django_jobs.models import EngineLease
from tests.support import verbs

pytestmark = pytest.mark.django_db(transaction=True)

#: What makes a connection answer every write as one to a server that only reads does.
READ_ONLY: Final = {
    "sqlite": "PRAGMA query_only = ON",
    "postgresql": "SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY",
    "mysql": "SET SESSION TRANSACTION READ ONLY",
}


def test_a_connection_to_a_server_that_became_read_only_is_given_up_after_the_first_refusal() -> None:
    with connection.cursor() as cursor:
        cursor.execute(READ_ONLY[connection.vendor])
    with pytest.raises(Error) as refusal:
        EngineLease.objects.create(name="of the old server")

    verbs.mend_connections()

    assert verbs.is_lost_connection(refusal.value)
    EngineLease.objects.create(name="of the new server")


def test_a_connection_that_never_failed_stays() -> None:
    connection.ensure_connection()
    before = connection.connection
    verbs.mend_connections()
    assert connection.connection is before
