"""The broker: RQ's queues in Redis, a small window onto the backlog. The only package that imports rq and redis."""

from __future__ import annotations

from django_jobs.broker.rq_broker import RQBroker

__all__ = ["RQBroker"]
