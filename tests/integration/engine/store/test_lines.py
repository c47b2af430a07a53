"""Statements end in time."""

from __future__ import annotations

from typing import Final

import pytest
from django.db import OperationalError, connection, transaction

from tests.support import verbs

pytestmark = pytest.mark.django_db(transaction=True)

_NAMES: Final = "information_schema.collations"
#: By vendor: a statement that takes for ever.
ENDLESS: Final = {
    "postgresql": "SELECT pg_sleep(600)",
    "mysql": f"SELECT COUNT(*) FROM {_NAMES} a, {_NAMES} b, {_NAMES} c, {_NAMES} d",
    "sqlite": "WITH RECURSIVE n AS (SELECT 1 AS i UNION ALL SELECT i FROM n) SELECT COUNT(*) FROM n",
}
LIMIT_OF: Final = {"postgresql": "SHOW statement_timeout", "mysql": "SELECT @@max_statement_time", "sqlite": "SELECT 1"}


def fetch(sql: str) -> object:
    with connection.cursor() as cursor:
        cursor.execute(sql)
        return cursor.fetchone()[0]


def test_a_limited_statement_is_given_up_and_later_ones_have_the_limit_of_before() -> None:
    before = fetch(LIMIT_OF[connection.vendor])
    with pytest.raises(OperationalError), verbs.store().limited(0.05):
        fetch(ENDLESS[connection.vendor])
    assert fetch(LIMIT_OF[connection.vendor]) == before
    with transaction.atomic():
        with verbs.store().limited(0.0):
            pass
        assert fetch(LIMIT_OF[connection.vendor]) == before
