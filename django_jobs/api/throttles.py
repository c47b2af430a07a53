"""How often a user may ask, by kind of request."""

from __future__ import annotations

import logging
from typing import Any, Final

from django.core.cache import caches
from rest_framework.throttling import SimpleRateThrottle

from django_jobs.conf import jobs_settings

logger = logging.getLogger("django_jobs")

RATES: Final = {
    "submit": "100/min",
    "status": "600/min",
    "list": "60/min",
    "cancel": "30/min",
    "metrics": "30/min",
}


class JobsThrottle(SimpleRateThrottle):
    """One scope's rate; None in ``THROTTLE_RATES`` lifts it. Without its cache it lets requests pass."""

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
            return bool(super().allow_request(request, view))
        except Exception as error:  # noqa: BLE001  (whatever the host's cache raises)
            logger.warning("event=throttle_failed scope=%s error=%r", self.scope, error)
            return True
