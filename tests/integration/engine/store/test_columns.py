"""Types of columns, as statements name them beside values."""

from __future__ import annotations

import pytest
from django.db import connection

from tests.support import verbs

pytestmark = [
    pytest.mark.django_db,
    pytest.mark.skipif(connection.vendor != "postgresql", reason="These are PostgreSQL's types."),
]


@pytest.mark.parametrize("kind", ["char(26)", "character(26)", "varchar(26)", "text"])
def test_a_type_cuts_no_value(kind: str) -> None:
    """As of keys of a host's organizations or users, which would name somebody else then, or nobody."""
    name = verbs.without_length(kind)
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT %s::{name}, (%s::{name}[])[1]", ["01ARZ3NDEK", ["01ARZ3NDEK"]])
        assert cursor.fetchone() == ("01ARZ3NDEK", "01ARZ3NDEK")


@pytest.mark.parametrize(("kind", "name"), [("numeric(20, 0)", "numeric"), ("bigint", "bigint"), ("uuid", "uuid")])
def test_other_types_keep_their_names(kind: str, name: str) -> None:
    assert verbs.without_length(kind) == name
