"""PostgreSQL and Redis, as the measures need them. Their clients are imported late: not every environment has both."""

from __future__ import annotations

import functools
import os
from typing import Any

from lab.benchmarks.peers.adapters.peer import database_name, database_url, redis_url


def make_database() -> None:
    """Drop the peer's database and make it anew."""
    with _connect(os.environ["PEERS_POSTGRES"].rstrip("/") + "/postgres") as connection:
        connection.execute(f"DROP DATABASE IF EXISTS {database_name()} WITH (FORCE)")
        connection.execute(f"CREATE DATABASE {database_name()}")


def run_sql(sql: str) -> None:
    """Run one statement in the peer's database."""
    _connection().execute(sql)


def count(sql: str) -> int:
    """Return the number that a query of the peer's database answers with."""
    return int(_connection().execute(sql).fetchone()[0])


def analyze() -> None:
    """Do what autovacuum does some time after many rows were written."""
    run_sql("VACUUM ANALYZE")


@functools.cache
def redis() -> Any:
    """Return a client of the Redis database."""
    import redis as client

    return client.Redis.from_url(redis_url())


def postgres_facts() -> dict[str, str]:
    """Return what PostgreSQL is, and what decides how durable its commits are."""
    names = {"PostgreSQL": "server_version", "synchronous_commit": "synchronous_commit"}
    return {name: _connection().execute(f"SHOW {setting}").fetchone()[0] for name, setting in names.items()}


def redis_facts() -> dict[str, str]:
    """Return what Redis is, and whether it writes each command to a file."""
    version, setting = redis().info("server")["redis_version"], redis().config_get("appendonly")
    return {"Redis": version, "appendonly": setting["appendonly"]}


@functools.cache
def _connection() -> Any:
    return _connect(database_url())


def _connect(address: str) -> Any:
    import psycopg

    return psycopg.connect(address, autocommit=True)
