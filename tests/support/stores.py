"""Stores that tests put in the place of the database's own."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from django.db import connection

from tests.support import verbs
from tests.support.verbs import Store


class PlainStore(Store):
    """What somebody writes for one more database: nothing, where all that is portable will do."""


def fitting_kinds() -> list[type[Store]]:
    """The classes that are right on the database of the run: its own, and those that stand for any database.

    On MariaDB the portable clock is the session's, whose zone may be any, and keys have nothing that equal work locks.
    """
    own = verbs.store_class_for(connection.vendor)
    return [own] if connection.vendor == "mysql" else [own, Store, PlainStore]


def store_name() -> str:
    """By what a test tells what a store does: the vendor, or "portable" for a store of any."""
    return str(connection.vendor) if type(verbs.store()) is verbs.store_class_for(connection.vendor) else "portable"


@contextmanager
def used(kind: type[Store]) -> Iterator[Store]:
    """Let the engine use a store of this class for a while, and remember nothing that another one told it."""
    before = type(verbs.store())
    verbs.forget_targets()
    verbs.use_store("default", kind)
    try:
        yield verbs.store()
    finally:
        verbs.forget_targets()
        verbs.use_store("default", before)
