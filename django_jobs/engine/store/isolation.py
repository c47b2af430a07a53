"""Whether the database's isolation level lets the engine see what others have committed."""

from __future__ import annotations

from typing import Any, Final

from django.db import DatabaseError, transaction

#: Levels in which each statement sees what was committed before it.
_FRESH: Final = frozenset({"READ-COMMITTED", "READ-UNCOMMITTED"})


def hides_changes(connection: Any) -> bool:
    """Whether a transaction may overwrite what it cannot see, without an error.

    MariaDB with REPEATABLE READ lets it, unless ``innodb_snapshot_isolation`` is on, the default from 11.6.2 on. A
    transaction that has read before then replaces the key of a duplicate that was committed meanwhile, and both jobs
    are accepted. With the variable on, such a transaction ends with error 1020, and the engine tries its own again.
    """
    if connection.vendor != "mysql":
        return False
    with connection.cursor() as cursor:
        cursor.execute("SELECT @@tx_isolation")
        (level,) = cursor.fetchone()
    return level not in _FRESH and not _refuses_stale_writes(connection)


def _refuses_stale_writes(connection: Any) -> bool:
    try:
        with transaction.atomic(using=connection.alias), connection.cursor() as cursor:
            cursor.execute("SELECT @@innodb_snapshot_isolation")
            return bool(cursor.fetchone()[0])
    except DatabaseError:  # an older server, which does not know it
        return False
