"""Probes and metrics of a web server, which asks database and broker at most every two seconds for them."""

from __future__ import annotations

import hmac
import time
from typing import Any, Final

from django.contrib.auth.decorators import login_not_required
from django.contrib.auth.models import AnonymousUser
from django.db import InterfaceError, OperationalError
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.views.decorators.http import require_safe
from rest_framework.authentication import BaseAuthentication, get_authorization_header
from rest_framework.permissions import BasePermission
from rest_framework.renderers import JSONRenderer

from django_jobs.api.base import JobsView, non_atomic
from django_jobs.conf import jobs_settings
from django_jobs.contrib.prometheus import scrape
from django_jobs.engine.memory import Memory
from django_jobs.engine.scope import scope_of
from django_jobs.health import notes
from django_jobs.health.lookouts import LOOK_SECONDS, Lookouts

_NOT_KEPT: Final = {"Cache-Control": "no-store"}
#: What marks a request that gave METRICS_TOKEN.
_SCRAPER: Final = object()

#: What was seen last, without and with the gauges: everybody may probe, as often as it pleases.
_seen: Final[Memory[bool, Lookouts]] = Memory(2)


def _look(*, reads_gauges: bool) -> Lookouts:
    """Return what is seen of database and broker."""
    known = _seen.fresh(reads_gauges)
    if known is not None:
        return known
    found = Lookouts(notes.HealthNotes(), lambda: reads_gauges)
    found.notes.follow(time.monotonic)  # whoever can answer does its rounds
    found.look_at_database()
    found.look_at_broker()
    found.read_gauges()
    return _seen.put(reads_gauges, found, LOOK_SECONDS)


@non_atomic
@login_not_required
@require_safe
def live(_request: HttpRequest, **kwargs: Any) -> HttpResponse:
    """Answer 200: whoever can answer lives. Asks nobody."""
    return JsonResponse({"status": "live"}, headers=_NOT_KEPT)


@non_atomic
@login_not_required
@require_safe
def ready(_request: HttpRequest, **kwargs: Any) -> HttpResponse:
    """Answer 200 if database and broker answer, else 503 and why not."""
    code, told = notes.ready(_look(reads_gauges=False).notes)
    return JsonResponse(told, status=code, headers=_NOT_KEPT)


class ScrapeToken(BaseAuthentication):
    """Recognizes ``Authorization: Bearer`` with METRICS_TOKEN, without the database."""

    def authenticate(self, request: Any) -> tuple[Any, Any] | None:
        keyword, _, given = get_authorization_header(request).partition(b" ")
        token = jobs_settings.METRICS_TOKEN
        # Web servers run no system checks: what is no text, such as None from an environment without it, opens nothing.
        expected = token.encode() if isinstance(token, str) else b""
        if expected and keyword.lower() == b"bearer" and hmac.compare_digest(given.strip(), expected):
            return AnonymousUser(), _SCRAPER
        return None

    def authenticate_header(self, request: Any) -> str:
        return "Bearer"


class MayScrape(BasePermission):
    """Lets in who gave METRICS_TOKEN, and system admins."""

    message = "Only system admins may read metrics, and who has METRICS_TOKEN."

    def has_permission(self, request: Any, view: Any) -> bool:
        if request.auth is _SCRAPER:
            return True
        return scope_of(request).is_system_admin


class MetricsView(JobsView):
    """The gauges of the installation, for Prometheus."""

    permission_classes = [MayScrape]
    schema = None

    def get_authenticators(self) -> list[Any]:
        return [ScrapeToken(), *super().get_authenticators()]

    def get_throttles(self) -> list[Any]:
        """Return none: a scrape costs little, and comes at its own rate."""
        return []

    def perform_content_negotiation(self, request: Any, force: bool = False) -> tuple[Any, str]:
        """Refuse no format: the library chooses that of the metrics, and what goes wrong is told as JSON."""
        return JSONRenderer(), JSONRenderer.media_type

    def handle_exception(self, exc: Exception) -> Any:
        """Answer 503 where the database is away, so that it is not known who asks."""
        if isinstance(exc, InterfaceError | OperationalError):
            detail = "The database does not answer. Who sends METRICS_TOKEN is answered without it."
            return JsonResponse({"detail": detail}, status=notes.UNAVAILABLE, headers=_NOT_KEPT)
        return super().handle_exception(exc)

    def get(self, request: Any, **kwargs: Any) -> HttpResponse:
        """The metrics as text."""
        seen = _look(reads_gauges=True)
        page = scrape(request.headers.get("Accept", ""), seen.notes, seen.gauges)
        return HttpResponse(page.body, content_type=page.content_type, status=page.code, headers=_NOT_KEPT)
