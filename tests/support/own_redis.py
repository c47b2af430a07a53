"""Another Redis than the run's, for this process."""

from __future__ import annotations

import django_rq.settings
import pytest

from tests.support import verbs


def use_redis_at(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    queues = {name: {"URL": url} for name in django_rq.settings.QUEUES}
    monkeypatch.setattr(django_rq.settings, "QUEUES", queues)
    forget_the_broker()


def forget_the_broker() -> None:
    """This process connects anew, and holds no grudge against a Redis that failed."""
    verbs.close_shared_redis()
    verbs.use_broker(None)
