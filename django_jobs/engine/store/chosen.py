"""Which class stands for the database: asked once for each alias."""

from __future__ import annotations

from typing import Final

from django.db import connections

from django_jobs.conf import primary_alias
from django_jobs.engine.store.base import Store
from django_jobs.engine.store.mariadb import MariaDBStore
from django_jobs.engine.store.postgresql import PostgreSQLStore
from django_jobs.engine.store.sqlite import SQLiteStore

#: By the vendor, as Django calls it. A system check refuses MySQL. Any other database gets what is right everywhere.
STORES: Final[dict[str, type[Store]]] = {
    "postgresql": PostgreSQLStore,
    "mysql": MariaDBStore,
    "sqlite": SQLiteStore,
}
_chosen: Final[dict[str, Store]] = {}


def store() -> Store:
    """Return the store of the database that jobs are written to."""
    alias = primary_alias()
    return _chosen.get(alias) or store_of(alias)


def store_of(alias: str) -> Store:
    """Return the store of this database, for what is done to another one than jobs are written to now."""
    if alias not in _chosen:
        use_store(alias, STORES.get(connections[alias].vendor, Store))
    return _chosen[alias]


def use_store(alias: str, kind: type[Store] | None) -> None:
    """Have this class stand for the database from now on; None: that of its vendor again."""
    _chosen.pop(alias, None)
    if kind is not None:
        _chosen[alias] = kind(alias)
