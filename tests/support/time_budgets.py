"""How long the broker may hold up who submits."""

from __future__ import annotations

from typing import Final

import pytest

from django_jobs.engine.dispatch import dispatcher, short_way, ticketing

#: As it is in production.
SECONDS: Final = short_way.BUDGET_SECONDS


def allow(seconds: float, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (dispatcher, short_way, ticketing):
        monkeypatch.setattr(module, "BUDGET_SECONDS", seconds)
