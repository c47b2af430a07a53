"""The tenants and types that tests of the engine begin with."""

from __future__ import annotations

from tests.integration.conftest import _lasting_memories, kind, organization, root, submit, without_redis

__all__ = ["_lasting_memories", "kind", "organization", "root", "submit", "without_redis"]
