"""Which class stands for the database: chosen once for each alias."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from django.db import connections

from django_jobs.conf import primary_alias

if TYPE_CHECKING:
    from django_jobs.engine.store.base import Store

_chosen: Final[dict[str, Store]] = {}


def store() -> Store:
    """Return the store of the database that jobs are written to."""
    alias = primary_alias()
    return _chosen.get(alias) or store_of(alias)


def store_of(alias: str) -> Store:
    """Return the store of any database, for what is done to another one than jobs are written to."""
    found = _chosen.get(alias)
    if found is None:
        # Another thread may choose at the same moment; then the first store stays.
        found = _chosen.setdefault(alias, kind_for(connections[alias].vendor)(alias))
    return found


def use_store(alias: str, kind: type[Store] | None) -> None:
    """Have this class stand for the database from now on; None: that of its vendor again. For tests."""
    _chosen.pop(alias, None)
    if kind is not None:
        _chosen[alias] = kind(alias)


def kind_for(vendor: str) -> type[Store]:
    """Return the class for a vendor, as Django names it; one that we do not know gets what is right everywhere.

    MySQL gets MariaDB's class, and a system check refuses it.
    """
    # Here, because stores stand on the models, and this module is imported before these can be. And one at a time: a
    # process needs its own database's, and PostgreSQL's alone is half a megabyte.
    if vendor == "postgresql":
        from django_jobs.engine.store.postgresql import PostgreSQLStore

        return PostgreSQLStore
    if vendor == "mysql":
        from django_jobs.engine.store.mariadb import MariaDBStore

        return MariaDBStore
    if vendor == "sqlite":
        from django_jobs.engine.store.sqlite import SQLiteStore

        return SQLiteStore
    from django_jobs.engine.store.base import Store

    return Store
