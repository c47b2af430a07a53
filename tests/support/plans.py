"""How PostgreSQL runs what the engine asks: each statement explained with its own values, just before it is run."""

from __future__ import annotations

import datetime as dt
import math
import re
from collections import Counter
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final

import pytest
from django.db import connection, transaction

from tests.support.verbs import Interpose

_EXPLAIN: Final = "EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) "
_EXPLAINED: Final = ("SELECT", "WITH", "INSERT", "UPDATE", "DELETE")
_SCANS: Final = frozenset({"Seq Scan", "Index Scan", "Index Only Scan", "Bitmap Heap Scan", "Bitmap Index Scan"})
_SORTS: Final = frozenset({"Sort", "Incremental Sort"})
_REMOVED: Final = ("Rows Removed by Filter", "Rows Removed by Index Recheck")
_PLACE: Final = re.compile(r"%\((\w+)\)s|%(s|%)")
_TYPES: Final = {int: "bigint", bool: "boolean", float: "double precision", dt.datetime: "timestamptz"}


@dataclass(frozen=True, slots=True)
class Plan:
    """How one statement was run. ``kind`` is custom, which is made for its values, or generic, for any."""

    sql: str
    kind: str
    root: dict[str, Any]

    def scanned(self) -> set[str]:
        """The tables that were read from one end to the other."""
        return {node["Relation Name"] for node in self._scans() if node["Node Type"] == "Seq Scan"}

    def sorted(self) -> int:
        """How many rows the largest sort had before it."""
        return max((_rows(node["Plans"][0]) for node in self._nodes() if node["Node Type"] in _SORTS), default=0)

    def visited(self) -> int:
        """How many rows were visited, or entries of bitmaps, in vain or not."""
        return sum(_rows(node, *_REMOVED) for node in self._scans())

    def pages(self) -> int:
        """How many pages all scans touched, each as often as they did. It tells of entries that no row is made of."""
        return sum(node["Shared Hit Blocks"] + node["Shared Read Blocks"] for node in self._scans())

    def __str__(self) -> str:
        scans = ", ".join(f"{node['Node Type']} {_name(node)}" for node in self._scans())
        text = " ".join(self.sql.split())
        return f"{self.kind} [{scans}] sorted {self.sorted()}, visited {self.visited()}, pages {self.pages()}: {text}"

    def _scans(self) -> Iterator[dict[str, Any]]:
        """The scans that were begun at all."""
        return (node for node in self._nodes() if node["Node Type"] in _SCANS and node["Actual Loops"])

    def _nodes(self) -> Iterator[dict[str, Any]]:
        rest = [self.root]
        while rest:
            node = rest.pop()
            yield node
            rest += node.get("Plans", [])


def _rows(node: dict[str, Any], *removed: str) -> int:
    return int((node["Actual Rows"] + sum(node.get(name, 0) for name in removed)) * node["Actual Loops"])


def _name(node: dict[str, Any]) -> str:
    return str(node.get("Index Name") or node["Relation Name"])


@contextmanager
def explained(
    kinds: Collection[str] = ("custom", "generic"), known: Counter[str] | None = None, times: float = math.inf
) -> Iterator[list[Plan]]:
    """Gives the plans of what is asked in the block, which is best rolled back.

    What the server may prepare is explained with the plan that it has the first times, and with the one that it may
    come to keep. What ``known`` counts so many times is not explained once more.
    """
    explaining = _Explaining(kinds, Counter() if known is None else known, times)
    with pytest.MonkeyPatch.context() as patch, connection.execute_wrapper(explaining):
        Interpose(patch)("may_prepare", explaining.may_prepare)
        yield explaining.plans


@dataclass(slots=True)
class _Explaining:
    kinds: Collection[str]
    known: Counter[str]
    times: float
    plans: list[Plan] = field(default_factory=list)
    _is_prepared: bool = False

    def may_prepare(self, _: Any) -> bool:
        """Note that the next statement is one that the server may prepare, and have it go the way that can be seen."""
        self._is_prepared = True
        return False

    def __call__(self, execute: Callable[..., Any], sql: str, params: Any, many: bool, context: Any) -> Any:
        if sql.lstrip().startswith(_EXPLAINED) and not many:
            self._explain(sql, params)
        return execute(sql, params, many, context)

    def _explain(self, sql: str, params: Any) -> None:
        is_prepared, self._is_prepared = self._is_prepared, False
        self.known[sql] += 1
        if self.known[sql] > self.times:
            return
        if "custom" in self.kinds:
            self.plans.append(Plan(sql, "custom", _rolled_back(lambda: _explain_custom(sql, params))))
        if "generic" in self.kinds and is_prepared:
            self.plans.append(Plan(sql, "generic", _rolled_back(lambda: _explain_generic(sql, params))))


def _rolled_back(explain: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    with transaction.atomic():
        root = explain()
        transaction.set_rollback(True)
    return root


def _explain_custom(sql: str, params: Any) -> dict[str, Any]:
    with connection.cursor() as cursor:
        cursor.execute(_EXPLAIN + sql, params)
        root: dict[str, Any] = cursor.fetchone()[0][0]["Plan"]
    return root


def _explain_generic(sql: str, params: Any) -> dict[str, Any]:
    text, values = _numbered(sql, params)
    types, places = ", ".join(map(_type, values)), ", ".join(["%s"] * len(values))
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL plan_cache_mode = force_generic_plan")
        cursor.execute(f"PREPARE explained {f'({types})' if values else ''} AS {text}")
    try:
        return _explain_custom(f"EXECUTE explained {f'({places})' if values else ''}", values)
    finally:
        with connection.cursor() as cursor:
            cursor.execute("DEALLOCATE explained")


def _numbered(sql: str, params: Any) -> tuple[str, list[Any]]:
    """The statement with $1, $2 and so on, and the values that these stand for."""
    values: list[Any] = []
    places: dict[Any, str] = {}

    def place(found: re.Match[str]) -> str:
        if found[2] == "%":
            return "%"
        key = found[1] or len(values)
        if key not in places:
            values.append(params[key])
            places[key] = f"${len(values)}"
        return places[key]

    return _PLACE.sub(place, sql), values


def _type(value: Any) -> str:
    """The type that the driver sends for a value. What a text is to be, PostgreSQL finds out."""
    if isinstance(value, list | tuple):
        kind = _type(next((item for item in value if item is not None), ""))
        return "text[]" if kind == "unknown" else f"{kind}[]"
    return _TYPES.get(type(value), "unknown")
