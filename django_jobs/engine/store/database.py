"""The engine's way to the database: which one, its clock, transactions, and lines that broke."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime as dt
import math
import pkgutil
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final, TypeVar

from django.apps import apps
from django.conf import settings
from django.db import Error, connections, models, router, transaction
from django.db.backends.signals import connection_created
from django.db.models import QuerySet

from django_jobs.conf import primary_alias
from django_jobs.engine import timing
from django_jobs.texts import Text, say

if TYPE_CHECKING:
    from django_jobs.engine.store.base_jobs import Store

# The engine's way to the database: which one, its clock, transactions, and connections that broke.
#
# What depends on the vendor is the store's.


APP: Final = "django_jobs"
Q = TypeVar("Q", bound=QuerySet[Any])
T = TypeVar("T")


def alias() -> str:
    """Return the alias of the database that holds jobs; reads go there too, since the row is the truth."""
    return primary_alias()


def rows(model: type[Any]) -> QuerySet[Any]:
    """Return all rows of a model of the host's, such as the tenant's, as they are where jobs are written."""
    found: QuerySet[Any] = model._default_manager.using(alias())
    return found


def connection() -> Any:
    """Return this thread's connection to the database that holds jobs."""
    return connections[alias()]


def now() -> dt.datetime:
    """Return the database's time, aware, in UTC."""
    return store().now()


def locked(queryset: Q, *, skip: bool = False) -> Q:
    """Return the rows, to be locked in ascending primary key; with ``skip``, without those that somebody else holds."""
    return store().locked(queryset, skip=skip)


def in_transaction(function: Callable[[], T], silence: float = math.inf) -> T:
    """Run ``function`` in a transaction; again when it lost a race. Inside a caller's transaction: once.

    The server ends one of which it hears nothing for ``silence`` seconds, or for half of LEASE_SECONDS.
    """
    return store().in_transaction(function, silence)


def is_lost_connection(error: BaseException) -> bool:
    """Return whether the database went away, so that the same call may succeed later."""
    return store().is_lost_connection(error)


def is_lost_race(error: BaseException) -> bool:
    """Return whether another transaction was in the way (deadlock, lock timeout), so that a new try is right."""
    return store().is_lost_race(error)


def was_too_slow(error: BaseException) -> bool:
    """Return whether the database ended a statement that took too long. It answers; only this call has to wait."""
    return store().was_too_slow(error)


def heard(items: Iterable[T]) -> Iterator[T]:
    """Yield the items, and let the server hear of an open transaction in between, where the host's code takes long.

    It ends one of which it hears nothing for half of LEASE_SECONDS, and would end each new try of the same as well.
    """
    last = time.monotonic()
    for item in items:
        yield item
        if time.monotonic() - last >= timing.TRANSACTION_SIGN_SECONDS and connection().in_atomic_block:
            now()
            last = time.monotonic()


@contextlib.contextmanager
def savepoint() -> Iterator[None]:
    """Let statements of the host's that fail in the block undo no more than the block, where a transaction is open.

    Its own statements let the server hear of the transaction, as :func:`heard` does.
    """
    if not connection().in_atomic_block:
        yield
        return
    with transaction.atomic(using=alias()):
        yield


def goes_on_after(error: BaseException) -> bool:
    """Return whether all may go on as before after an error that left a :func:`savepoint`.

    Not where the connection broke, or the transaction did, or where that has to be tried again for a lost race.
    """
    item = connection()
    try:
        item.ensure_connection()
    except Error:
        return False
    return not is_lost_race(error) and not item.needs_rollback and bool(item.is_usable())


def on_commit(function: Callable[[], object]) -> None:
    """Call ``function`` once what was written is committed; never if it is not."""
    transaction.on_commit(function, using=alias(), robust=True)


@dataclasses.dataclass
class _Asked:
    """How often something was asked for in a transaction, and how many of the first of these times are served."""

    times: int = 0
    served: int = 0


def once_on_commit(
    function: Callable[[], object], *, alone: Callable[[], object] | None = None, using: str | None = None
) -> None:
    """Call ``function`` once what was written is committed; once for all who ask for it in one transaction.

    With ``alone``, that is called in its place where nobody else asked. Who asked in a savepoint that was rolled back
    counts as somebody else, but takes the call from nobody. ``using`` is the database; without it, that of jobs.
    """
    using = using or alias()
    asked = notes("asked", lambda: defaultdict[Callable[[], object], _Asked](_Asked), using)[function]
    asked.times += 1
    number = asked.times

    def call() -> None:
        if number > asked.served:
            is_alone = asked.times - asked.served == 1
            asked.served = asked.times
            (alone if alone is not None and is_alone else function)()

    transaction.on_commit(call, using=using, robust=True)


def notes(name: str, make: Callable[[], T], using: str | None = None) -> T:
    """Return what is noted under a name of the outermost transaction that is open; made anew where none is open."""
    item: Any = connections[using or alias()]
    block = item.atomic_blocks[0] if item.atomic_blocks else None
    known: tuple[Any, T] | None = item.__dict__.get(f"django_jobs_{name}")
    if known is None or block is None or known[0] is not block:
        known = item.__dict__[f"django_jobs_{name}"] = (block, make())
    return known[1]


def mend_connections() -> None:
    """Close what broke in this thread, so that its next use connects anew.

    Not Django's ``close_old_connections``: with the default CONN_MAX_AGE of 0 that would connect for every set. And
    whatever failed goes, though it may answer: behind an address that moved it reaches a server that only reads.
    """
    for item in connections.all(initialized_only=True):
        if item.errors_occurred and item.connection is not None and not item.in_atomic_block:
            drop(item)


def drop_connections() -> None:
    """Close this thread's connections, so that their next use connects anew."""
    for item in connections.all(initialized_only=True):
        drop(item)


def drop(item: Any) -> None:
    """Close a connection in whatever state it is: mysqlclient refuses to close one that is closed already."""
    with contextlib.suppress(Error):
        item.close()


# Reading where rows are written, whatever a host's routers say of reads.
#
# A replica may lag behind what decides a job's fate: its owner, their rights, their organization. Who asks for that, a
# host's own policy and permission backends included, reads inside :func:`fresh_reads`.


_is_active: Final[ContextVar[bool]] = ContextVar("django_jobs_fresh_reads", default=False)


class FreshReads:
    """A database router that stands before the host's own, and speaks only inside :func:`fresh_reads`."""

    def db_for_read(self, model: type[models.Model], **hints: Any) -> str | None:
        """Return where rows of this model are written; None for the host's routers to answer."""
        return str(router.db_for_write(model, **hints)) if _is_active.get() else None


@contextmanager
def fresh_reads() -> Iterator[None]:
    """Read every model where it is written inside the block, in this thread or task.

    A queryset that names its database itself (``using``) keeps it.
    """
    routers = router.routers
    if routers and not isinstance(routers[0], FreshReads):  # the host's list may be another one since
        routers.insert(0, FreshReads())
    token = _is_active.set(True)
    try:
        yield
    finally:
        _is_active.reset(token)


# Which class stands for the database: chosen once for each alias.


_chosen: Final[dict[str, Store]] = {}


def store() -> Store:
    """Return the store of the database that jobs are written to."""
    return store_of(primary_alias())


def store_of(alias: str) -> Store:
    """Return the store of any database, for what is done to another one than jobs are written to."""
    found = _chosen.get(alias)
    if found is None:
        # Another thread may choose at the same moment; then the first store stays.
        found = _chosen.setdefault(alias, class_for(connections[alias].vendor)(alias))
    return found


def use_store(alias: str, store_class: type[Store] | None) -> None:
    """Have this class stand for the database from now on; None: that of its vendor again. For tests."""
    _chosen.pop(alias, None)
    if store_class is not None:
        _chosen[alias] = store_class(alias)


def class_for(vendor: str) -> type[Store]:
    """Return the class for a vendor, as Django names it; one that we do not know gets what is right everywhere.

    MySQL gets MariaDB's class, and a system check refuses it.
    """
    # Here, because stores stand on the models, and this module is imported before these can be. And one at a time: a
    # process needs its own database's, and PostgreSQL's alone is half a megabyte.
    if vendor == "postgresql":
        from django_jobs.engine.store.postgresql_moves import PostgreSQLStore

        return PostgreSQLStore
    if vendor == "mysql":
        from django_jobs.engine.store.mariadb import MariaDBStore

        return MariaDBStore
    if vendor == "sqlite":
        from django_jobs.engine.store.sqlite import SQLiteStore

        return SQLiteStore
    from django_jobs.engine.store.base_jobs import Store

    return Store


# The connections of a worker or a scheduler: its process lives for weeks, and nobody sees what it waits for.


def prepare_lines() -> None:
    """Have this process notice soon when a server is silent, and a server when this process is gone.

    To be called before the first connection. What the host says in ``OPTIONS`` stays.
    """
    for alias in connections:
        options = connections.settings[alias]["OPTIONS"]
        for name, value in store_of(alias).worker_options().items():
            options.setdefault(name, value)
    connection_created.connect(_prepare_one, dispatch_uid="django_jobs.worker_lines")


def load_lines() -> None:
    """Load what each process that works with the host's databases will need, so that those forked later share it."""
    for alias in connections:
        store_of(alias)
        connections[alias].ops.compiler("SQLCompiler")  # its module: Django imports it with the first query


def _prepare_one(connection: Any, **kwargs: Any) -> None:
    if connection.alias in connections:  # Django has others of its own, such as one to no database
        store_of(connection.alias).prepare_for_worker(connection)


# Whether the tables are as old as the code wants them.


def unapplied_migrations() -> list[str]:
    """Return our migrations that the database has not had, in order.

    An empty list where the tables were made without migrations, or this role may not read which of them there were.
    """
    # Here, since a child of a worker has no use for migrations.
    from django.db.migrations.recorder import MigrationRecorder

    path = settings.MIGRATION_MODULES.get(APP, f"{APP}.migrations")
    try:
        recorded = MigrationRecorder(connection()).applied_migrations()
    except Error:
        return []
    applied = {name for app, name in recorded if app == APP}
    if path is None or not applied:
        return []
    names = {module.name for module in pkgutil.iter_modules(import_module(path).__path__)}
    return sorted(name for name in names - applied if not name.startswith("_"))


def lacks_columns() -> bool:
    """Return whether a table, or a column of one, is not there that the models name. It asks about each table."""
    item = connection()
    kinds = [model for model in apps.get_app_config(APP).get_models() if model._meta.managed]
    with item.cursor() as cursor:
        tables = set(item.introspection.table_names(cursor))
        for options in (model._meta for model in kinds if not model._meta.swapped):
            if options.db_table not in tables:
                return True
            found = {column.name for column in item.introspection.get_table_description(cursor, options.db_table)}
            if not {field.column for field in options.local_concrete_fields} <= found:
                return True
    return False


def behind(migrations: list[str]) -> Text:
    """Return the sentence about a database that has not had these migrations."""
    first, *others = migrations
    return say(
        "it lacks the migration %(app)s %(migration)s%(more)s. Run `manage.py migrate`.",
        code="migration_missing",
        app=APP,
        migration=first,
        more=f" and {len(others)} more" if others else "",
    )
