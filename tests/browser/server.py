"""The example project as an ASGI application that serves its static files although DEBUG is off.

It has one page more: a batch, as a host would show it by the template tag.
"""

from __future__ import annotations

from typing import Any, Final

from django.contrib.staticfiles.handlers import ASGIStaticFilesHandler
from django.http import HttpRequest, HttpResponse
from django.template import RequestContext, Template
from django.urls import path

from example_project import asgi
from example_project.shop.security import strict
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
    await (_pages if scope["type"] == "http" else asgi.application)(scope, receive, send)
