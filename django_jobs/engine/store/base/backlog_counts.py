"""Counting what waits of some job types, by the index of the lanes and up to a bound."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from django_jobs.engine.store.base.lanes import Lanes
from django_jobs.statuses import Priority


class BacklogCounts(Lanes):
    """Counts that cost the same however many jobs wait."""

    def count_waiting(self, groups: Sequence[Collection[str]], most: int, *, delayed: bool = False) -> list[int]:
        """Return how many jobs of each group of job types are in lanes, counted up to ``most``; one statement.

        With ``delayed``, how many wait for their moment; a store may count those in lanes as well.
        """
        parts: list[str] = []
        params: list[Any] = []
        for group in filter(None, groups):
            sql, own = self._sql_of_some(list(group), most, delayed=delayed)
            parts.append(f"(SELECT COUNT(*) FROM ({sql} LIMIT %s) counted)")
            params += [*own, most]
        counts = iter(self._ask(f"SELECT {', '.join(parts)}", params)[0] if parts else ())
        return [next(counts) if group else 0 for group in groups]

    def _sql_of_some(self, job_types: list[str], most: int, *, delayed: bool) -> tuple[str, list[Any]]:
        """Return SQL of jobs of these types, of each priority up to ``most``, and its parameters."""
        places = ", ".join(["%s"] * len(job_types))
        own = f"{self._which(delayed=delayed)} AND job_type_id IN ({places})"
        part = f"SELECT id FROM (SELECT id FROM {self.jobs_table} WHERE {own} LIMIT %s) found"
        params = [value for priority in Priority for value in (int(priority), *job_types, most)]
        return " UNION ALL ".join([part] * len(Priority)), params
