"""The websocket route, for the host's ``URLRouter(websocket_urlpatterns)``: it leads ``ws/jobs/`` to live progress."""

from __future__ import annotations

from typing import Any, cast

from django.urls import path

from django_jobs.realtime.consumer import JobsConsumer

websocket_urlpatterns: list[Any] = [path("ws/jobs/", cast("Any", JobsConsumer.as_asgi()))]
