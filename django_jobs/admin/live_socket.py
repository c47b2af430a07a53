"""The address of the websocket by which open pages hear of changes."""

from __future__ import annotations

from django.conf import settings
from django.http import HttpRequest
from django.urls import get_script_prefix


def socket_url(request: HttpRequest) -> str:
    """Return the address of the websocket; empty without a channel layer, where pages only ask by the clock."""
    if not getattr(settings, "CHANNEL_LAYERS", None):
        return ""
    return f"{'wss' if request.is_secure() else 'ws'}://{request.get_host()}{get_script_prefix()}ws/jobs/"
