"""The example project as an ASGI application that serves its static files although DEBUG is off.

It has one page more: a batch, as a host would show it by the template tag. And its admin has the policy of the other
pages, as a host's may have one: the admin's pages must not break it.
"""

from __future__ import annotations

from typing import Any, Final

from django.contrib.staticfiles.handlers import ASGIStaticFilesHandler
from django.http import HttpRequest, HttpResponse
from django.template import RequestContext, Template
from django.urls import path

from example_project import asgi
from example_project.shop.security import POLICY, strict
from example_project.urls import urlpatterns

BATCH_PAGE: Final = """{% load django_jobs %}<!DOCTYPE html>
<html lang="en">
<head><title>Batch</title><meta name="viewport" content="width=device-width">{% job_progress_script %}</head>
<body><main>{% batch_progress batch_id label="Invoices" %}</main></body>
</html>"""


def batch_page(request: HttpRequest, batch_id: str) -> HttpResponse:
    return HttpResponse(Template(BATCH_PAGE).render(RequestContext(request, {"batch_id": batch_id})))


urlpatterns.append(path("batch/<str:batch_id>/", strict(batch_page)))
_pages: Any = ASGIStaticFilesHandler(asgi.http)


async def application(scope: Any, receive: Any, send: Any) -> None:
    async def send_with_policy(message: Any) -> None:
        if message["type"] == "http.response.start" and scope["path"].startswith("/admin/"):
            policy = POLICY.format(socket=f"ws://{dict(scope['headers'])[b'host'].decode()}")
            message["headers"] = [*message["headers"], (b"content-security-policy", policy.encode())]
        await send(message)

    if scope["type"] == "http":
        await _pages(scope, receive, send_with_policy)
    else:
        await asgi.application(scope, receive, send)
