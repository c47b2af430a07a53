from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.acceptance.steps import Stage
from tests.support.databases import DistantDatabase
from tests.support.own_redis import forget_the_broker, use_redis_at
from tests.support.slots import Slots, choose
from tests.support.valkey import EmbeddedValkey, embedded_valkey


@pytest.fixture(autouse=True)
def _slots(request: pytest.FixtureRequest) -> Iterator[None]:
    """Let workers and handlers be of the way that ``--slots`` names; skip a test that is marked for other ways."""
    way: str = request.config.getoption("slots")
    mark = request.node.get_closest_marker("slots")
    if mark and way not in mark.args:
        pytest.skip(mark.kwargs["reason"])
    choose(Slots(way))
    yield
    choose(Slots.ONE)


@pytest.fixture
def stage(transactional_db: None, tmp_path: Path) -> Stage:
    return Stage(tmp_path)


@pytest.fixture
def distant(transactional_db: None) -> Iterator[DistantDatabase]:
    """The test's database over a line that a test may cut."""
    database = DistantDatabase()
    yield database
    database.close()


@pytest.fixture
def own_valkey(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[EmbeddedValkey]:
    """A Redis that only this test uses, also for what it submits itself."""
    with embedded_valkey(tmp_path / "own-valkey") as server:
        use_redis_at(server.url, monkeypatch)
        yield server
    monkeypatch.undo()
    forget_the_broker()
