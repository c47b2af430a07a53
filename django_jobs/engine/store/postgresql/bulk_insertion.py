"""Many new jobs and their first log rows in one statement, made of those columns alone that hold something special."""

from __future__ import annotations

import datetime as dt
import functools
import itertools
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from operator import itemgetter
from typing import Any, Final

from django.core.serializers.json import DjangoJSONEncoder

from django_jobs.engine.store.base import insertion
from django_jobs.engine.store.insertion_values import NewJob
from django_jobs.engine.store.postgresql.columns import OLDEST_OPEN, OWN_TRANSACTION, columns_of, insert, next_key
from django_jobs.engine.store.postgresql.duplicates import take_over
from django_jobs.engine.store.postgresql.insertion import Insertion, preparations
from django_jobs.engine.store.postgresql.rows import Slot, array, json_array, unnested
from django_jobs.engine.store.postgresql.statements import sending_ahead
from django_jobs.models import DuplicateKey, ExecutionLog, Job
from django_jobs.statuses import Status

_encode: Final = DjangoJSONEncoder().encode

#: Statements that are sent before the answer to the first is read. What the server does not take yet fills memory.
AHEAD: Final = 8


class BulkInsertion(Insertion):
    """Writing many new jobs."""

    def _insert_all(self, news: Sequence[NewJob], now: dt.datetime) -> None:
        todo = insertion.chunks(news, now)
        if len(news) > insertion.MAX_ROWS:
            while self._insert_ahead(itertools.islice(todo, AHEAD)):
                pass
        # For a single statement, to wait for the server once more would cost more than it saves.
        for chunk in todo:
            [keys] = self.fetch(*self._statement(chunk), rows=len(chunk))
            self._take(chunk, keys)

    def _insert_ahead(self, some: Iterable[list[NewJob]]) -> bool:
        """Make the statement of each chunk while the server runs those before; return whether there may be more."""
        with sending_ahead(self.connection), ExitStack() as stack:
            sent: list[tuple[list[NewJob], Any]] = []
            for chunk in some:
                cursor = stack.enter_context(self.connection.cursor())
                cursor.execute(*self._statement(chunk))
                sent.append((chunk, cursor))
            for chunk, cursor in sent:
                self._take(chunk, cursor.fetchone())
        return len(sent) == AHEAD

    def _statement(self, news: Sequence[NewJob]) -> tuple[str, dict[str, Any]]:
        params: dict[str, Any] = {"count": len(news)}
        slots = self._job_slots(news, params) | self._actor_slots(news, params)
        return _sql(self.alias, tuple(slots.items())), params

    def _take(self, news: Sequence[NewJob], keys: Sequence[str]) -> None:
        """Fill in the keys of the jobs and of their log rows."""
        pks, log_ids = (map(int, text.split(",")) for text in keys)
        for new, pk, log_id in zip(news, pks, log_ids, strict=True):
            new.log_id = log_id
            new.job.id = pk
            state = new.job._state
            state.adding, state.db = False, self.alias

    def _job_slots(self, news: Sequence[NewJob], params: dict[str, Any]) -> dict[str, Slot]:
        """Return how each column travels in which some job holds something else than the default."""
        defaults = _defaults()
        slots: dict[str, Slot] = {}
        rows = map(itemgetter(*defaults), [new.job.__dict__ for new in news])
        for (name, default), values in zip(defaults.items(), zip(*rows, strict=True), strict=True):
            if values.count(default) < len(values):
                slots[name] = self._job_slot(name, values, news, params)
        return slots

    def _job_slot(self, name: str, values: Sequence[Any], news: Sequence[NewJob], params: dict[str, Any]) -> Slot:
        column = columns_of(Job, self.alias)[name]
        if column.is_json:
            values = [new.encoded.get(name) or _encode(value) for new, value in zip(news, values, strict=True)]
        elif (prepare := dict(preparations()).get(name)) is not None:  # a key of the host's, of whatever kind
            prepared = {value: prepare(value, self.connection) for value in set(values)}
            values = [prepared[value] for value in values]
        return _slot(f"v_{name}", column.kind, values, params, is_json=column.is_json)

    def _actor_slots(self, news: Sequence[NewJob], params: dict[str, Any]) -> dict[str, Slot]:
        # A submitter is known by the owner's name, and nearly always the same one.
        actors = {name: new.submitter for name, new in {new.job.owner_name: new for new in news}.items()}
        rows = [actors[new.job.owner_name] for new in news]
        return {
            "actor": _slot("actor", "text", [actor.name for actor in rows], params),
            "actor_kind": _slot("actor_kind", "text", [str(actor.kind) for actor in rows], params),
        }

    def keep_out(self, accepted: Sequence[NewJob], now: dt.datetime) -> bool:
        """Insert or take over, in the order of the keys, waiting for others who hold one."""
        sql = f"""
            INSERT INTO "{DuplicateKey._meta.db_table}" AS k (key, job_id, expires_at)
            SELECT key, job_id, %s + seconds * interval '1 second'
            FROM unnest(%s::text[], %s::bigint[], %s::bigint[]) AS new(key, job_id, seconds)
            ORDER BY key {take_over()}
        """
        jobs = [new.job for new in accepted]
        columns: list[list[Any]] = [
            [job.job_hash for job in jobs],
            [job.pk for job in jobs],
            [new.window for new in accepted],
        ]
        with self.connection.cursor() as cursor:
            cursor.execute(sql, [now, *(array(column) for column in columns)])
            return int(cursor.rowcount) == len(accepted)

    def _keeping_out(self, keys: Iterable[str]) -> dict[int, str]:
        sql = f"""
            SELECT job_id, key FROM "{DuplicateKey._meta.db_table}"
            WHERE key = ANY(%s::text[]) AND expires_at > statement_timestamp()
        """
        wanted = list(keys)
        return dict(self.fetch(sql, [array(wanted)], rows=len(wanted)))


@functools.cache
def _defaults() -> dict[str, Any]:
    """Return the default of each column but the key."""
    fields = [field for field in Job._meta.concrete_fields if not field.primary_key]
    return {field.attname: field.get_default() for field in fields}


def _slot(name: str, kind: str, values: Sequence[Any], params: dict[str, Any], *, is_json: bool = False) -> Slot:
    """Return how these values travel, and put into ``params`` what is to be sent. JSON is encoded."""
    first = values[0]
    is_shared = values.count(first) == len(values)
    if is_shared:
        params[name] = None if is_json and first == "null" else first
    else:
        params[name] = json_array(values) if is_json else array(values)
    return Slot(name, kind, is_json, is_shared)


#: Statements that are kept. Callers that mix the fields of their jobs in ever new ways could have millions made.
SHAPES: Final = 200


@functools.lru_cache(SHAPES)
def _sql(alias: str, slots: tuple[tuple[str, Slot], ...]) -> str:
    """The statement. Keys are drawn in the order of the jobs before anything is inserted, so that no step is joined."""
    given = {name: str(slot) for name, slot in slots}
    log = {
        "id": "log_id",
        "job_id": "id",
        "to_status": f"'{Status.PENDING}'",
        "timestamp": given["created_at"],
        "actor": given.pop("actor"),
        "actor_kind": given.pop("actor_kind"),
        "organization_id": given["organization_id"],
        # Asked once, not for each row.
        "transaction_id": f"(SELECT {OWN_TRANSACTION})",
        "oldest_open_id": f"(SELECT {OLDEST_OPEN})",
    }
    return f"""
        WITH new AS (
            SELECT {next_key(Job, alias)} AS id, {next_key(ExecutionLog, alias)} AS log_id, given.*
            FROM (SELECT * FROM {unnested(slot for _, slot in slots)} ORDER BY place) AS given
        ), job AS (
            {insert(Job, given | {"id": "id"}, "FROM new")}
        ), logged AS (
            {insert(ExecutionLog, log, "FROM new")}
        )
        SELECT {", ".join(f"string_agg({key}::text, ',' ORDER BY place)" for key in ("id", "log_id"))} FROM new
    """
