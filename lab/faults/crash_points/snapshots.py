"""What a process left behind, as a text that is equal for states that differ only in keys, moments and random names.

A process that starts anew knows nothing but this. So of two endings that left the same, one recovery tells enough.
"""

from __future__ import annotations

import datetime as dt
import json
import re
from pathlib import Path
from typing import Any, Final

from django.conf import settings
from django.db import connection
from redis import Redis

from django_jobs.models import JobType, Organization, SocketTicket
from lab.faults.crash_points.world import EMPTIED

#: Counters of the database that differ with each case, and how long a step took.
_LEFT_OUT: Final = ("transaction_id", "oldest_open_id", "seconds")
_MOMENT: Final = re.compile(r'"(\d{4}-\d\d-\d\dT[^"]+)"')
_TOKEN: Final = re.compile(r"/[A-Za-z0-9_-]{22}/")
#: A primary key of what a case makes (``world.FIRST_KEY``); nothing else is as large.
_KEY: Final = re.compile(r"\b[1-9]\d{9}\b")


def snapshot(client: Redis) -> str:
    """Return all that is stored in the database, in Redis and as files."""
    tables = sorted(model._meta.db_table for model in (*EMPTIED, JobType, Organization, SocketTicket))
    rows = _rows(tables)
    now = dt.datetime.now(dt.UTC)
    text = json.dumps([rows, _redis(client), _files()], sort_keys=True, default=str)
    text = _MOMENT.sub(lambda found: _when(found[1], now), text)
    return _renumbered(_TOKEN.sub("/token/", text))


def _rows(tables: list[str]) -> dict[str, list[Any]]:
    quote = connection.ops.quote_name
    each = [f"SELECT '{name}', to_jsonb(t) FROM {quote(name)} t" for name in tables]
    found: dict[str, list[Any]] = {name: [] for name in tables}
    with connection.cursor() as cursor:
        cursor.execute(" UNION ALL ".join(each))
        for name, row in cursor.fetchall():
            found[name].append(row if isinstance(row, dict) else json.loads(row))
    for rows in found.values():
        rows.sort(key=lambda row: (row.get("id", 0), json.dumps(row, sort_keys=True)) if "id" in row else (0, str(row)))
        for row in rows:
            for name in _LEFT_OUT:
                row.pop(name, None)
    return found


def _redis(client: Redis) -> dict[str, Any]:
    """The queues and the names of all other keys; what hashes hold is for RQ's pages only."""
    found: dict[str, Any] = {}
    for key in sorted(client.scan_iter(count=1000)):
        name = key.decode(errors="replace")
        found[name] = client.lrange(name, 0, -1) if name.startswith("rq:queue:") else None
    return found


def _files() -> list[str]:
    root = Path(settings.MEDIA_ROOT)
    return sorted(str(path.relative_to(root)) for path in root.rglob("*"))


def _renumbered(text: str) -> str:
    """Call each key by its place among those that occur: they are given in one order, whatever the case."""
    places = {key: f"#{place}" for place, key in enumerate(sorted(set(_KEY.findall(text))))}
    return _KEY.sub(lambda found: places[found[0]], text)


def _when(text: str, now: dt.datetime) -> str:
    """A moment as a restarted process judges it."""
    return '"past"' if dt.datetime.fromisoformat(text) <= now else '"future"'
