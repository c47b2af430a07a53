"""The settings of docs/deploying.md lead where its text says, and its lists are those of the code."""

from __future__ import annotations

import re
from importlib.util import find_spec
from typing import Any, Final

import pytest
import yaml
from channels_redis.core import RedisChannelLayer
from channels_redis.utils import create_pool
from django.db.utils import ConnectionHandler
from django_rq.connection_utils import get_redis_connection
from redis.asyncio.sentinel import SentinelConnectionPool as LayerPool
from redis.sentinel import SentinelConnectionPool as QueuePool

from django_jobs.broker import rq_guard
from tests.support.documents import DOCS, examples_of
from tests.support.pgbouncer import PgBouncer
from tests.support.postgresql import OPTIONS

needs_driver: Final = pytest.mark.skipif(find_spec("psycopg") is None, reason="needs PostgreSQL's driver")
TEXT: Final = (DOCS / "deploying.md").read_text()


def settings_under(heading: str) -> dict[str, Any]:
    """The settings that the example of a section makes."""
    section = TEXT.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    (example,) = (it for it in examples_of("deploying.md") if it in section)
    names: dict[str, Any] = {}
    exec(compile(example, heading, "exec"), names)
    return names


def parameters_of(databases: dict[str, Any]) -> dict[str, Any]:
    """What psycopg is told by Django."""
    return dict(ConnectionHandler(databases)["default"].get_connection_params())


@needs_driver
def test_of_two_postgresql_servers_the_one_is_taken_that_writes() -> None:
    database = settings_under("PostgreSQL with a standby")["DATABASES"]
    told = parameters_of(database)
    assert (told["host"], told["port"]) == ("db1.internal,db2.internal", "5432,5432")
    # These are what lab/faults/moving_servers fails over with.
    assert database["default"]["OPTIONS"] == OPTIONS


@needs_driver
def test_nothing_is_prepared_behind_pgbouncer() -> None:
    database = settings_under("PgBouncer")["DATABASES"]
    assert parameters_of(database)["prepare_threshold"] is None
    bouncer = PgBouncer()
    tried = bouncer.database()
    bouncer.close()
    chosen = {"OPTIONS", "DISABLE_SERVER_SIDE_CURSORS"}
    assert {key: database["default"][key] for key in chosen} == {key: tried[key] for key in chosen}


def test_the_queues_and_the_layer_ask_the_sentinels_for_the_server() -> None:
    made = settings_under("Redis with Sentinel")
    queues = made["RQ_QUEUES"]
    pool = get_redis_connection(queues["jobs-normal"]).connection_pool
    assert isinstance(pool, QueuePool)
    assert pool.service_name == "jobs"
    assert {rq_guard._place(queue) for queue in queues.values()} == {rq_guard._place(queues["jobs-normal"])}
    layer = RedisChannelLayer(**made["CHANNEL_LAYERS"]["default"]["CONFIG"])
    (host,) = layer.hosts
    assert isinstance(create_pool(host), LayerPool)


def test_what_scales_workers_is_a_metric_that_is_there() -> None:
    (scaled,) = (yaml.safe_load(block) for block in re.findall(r"^```yaml\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL))
    (trigger,) = scaled["spec"]["triggers"]
    (metric,) = re.findall(r"django_jobs_\w+", trigger["metadata"]["query"])
    assert f"`{metric}`" in (DOCS / "metrics.md").read_text()
    assert scaled["spec"]["scaleTargetRef"]["name"] in (DOCS / "deploying" / "kubernetes" / "worker.yaml").read_text()


def test_every_line_of_a_unit_that_the_page_explains_is_in_it() -> None:
    unit = (DOCS / "deploying" / "systemd" / "shop-worker.service").read_text()
    table = TEXT.partition("\n## systemd\n")[2].partition("\n## ")[0]
    lines = re.findall(r"`(\w+=\w+)`", "".join(re.findall(r"^\| (`.*?`) \|", table, re.MULTILINE)))
    assert len(lines) == 6
    assert [line for line in lines if line not in unit] == []
