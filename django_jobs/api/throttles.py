"""How often a user may call, by kind of request."""

from __future__ import annotations

import logging
from typing import Any, Final

from django.core.cache import caches
from rest_framework.exceptions import Throttled
from rest_framework.throttling import SimpleRateThrottle

from django_jobs.conf import jobs_settings

logger = logging.getLogger("django_jobs")

RATES: Final = {
    "submit": "100/min",
    "submit_items": "3000/min",
    "status": "600/min",
    "list": "60/min",
    "search": "10/min",
    "cancel": "30/min",
    "metrics": "30/min",
}


class JobsThrottle(SimpleRateThrottle):
    """Hold one user, or one address of anonymous callers, to the rate of a scope.

    None as the rate in ``THROTTLE_RATES`` lifts it. When the cache fails, requests pass and a warning is logged.
    """

    cache_format = "django_jobs_throttle_%(scope)s_%(ident)s"

    def __init__(self, scope: str) -> None:
        self.scope = scope
        self.cache = caches["default"]
        super().__init__()

    def get_rate(self) -> Any:
        return {**RATES, **jobs_settings.THROTTLE_RATES}[str(self.scope)]

    def get_cache_key(self, request: Any, view: Any) -> str:
        user = request.user
        ident = f"user-{user.pk}" if user and user.is_authenticated else self.get_ident(request)
        return str(self.cache_format % {"scope": self.scope, "ident": ident})

    def allow_request(self, request: Any, view: Any) -> bool:
        try:
            return self.count_within_rate(request, view)
        except Exception as error:  # noqa: BLE001  (whatever the host's cache raises)
            logger.warning("event=throttle_failed scope=%s error=%r", self.scope, error)
            return True

    def count_within_rate(self, request: Any, view: Any) -> bool:
        """Count the request if it is within the rate, and return whether it is."""
        return bool(super().allow_request(request, view))


def count_search(request: Any) -> None:
    """Count a request whose filter no index serves. Raises Throttled where the user has made too many."""
    throttle = JobsThrottle("search")
    if not throttle.allow_request(request, None):
        raise Throttled(throttle.wait())


class ItemsThrottle(JobsThrottle):
    """Hold a user to a rate of items, of which one request may bring many: all of them pass, or none is counted."""

    num_requests: int | None
    duration: int | None

    def __init__(self, scope: str, items: int) -> None:
        super().__init__(scope)
        self.items = items
        self._wait = 0.0

    @property
    def max_items(self) -> int | None:
        """Return how many items one request may bring at most; None when there is no bound."""
        return self.num_requests

    def count_within_rate(self, request: Any, view: Any) -> bool:
        if self.num_requests is None or self.duration is None:
            return True
        key, now = self.get_cache_key(request, view), self.timer()
        taken = [(when, items) for when, items in self.cache.get(key, ()) if when > now - self.duration]
        self._wait = self._until_room(taken, now)
        if self._wait:
            return False
        if self.items:
            self.cache.set(key, [*taken, (now, self.items)], self.duration)
        return True

    def _until_room(self, taken: list[tuple[float, int]], now: float) -> float:
        """Seconds until enough of the items taken have expired to leave room for these; 0 when there is room now."""
        room = int(self.num_requests or 0) - sum(items for _, items in taken)
        seconds = 0.0
        for when, items in taken:
            if room >= self.items:
                break
            room += items
            seconds = when + float(self.duration or 0) - now
        return seconds if room >= self.items else float(self.duration or 0)

    def wait(self) -> float:
        return self._wait
