"""HTTP and websockets in one process, which an ASGI server runs. Its options are in docs/deploying.md."""

from __future__ import annotations

import os
from importlib.util import find_spec
from typing import Any

from channels.routing import ProtocolTypeRouter, URLRouter
from django.conf import settings
from django.contrib.staticfiles.handlers import ASGIStaticFilesHandler
from django.core.asgi import get_asgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "example_project.settings")

# Before anything that needs the models.
http: Any = get_asgi_application()

from django_jobs.realtime.auth import JobsAuthMiddlewareStack  # noqa: E402
from django_jobs.realtime.routing import websocket_urlpatterns  # noqa: E402

application: Any = ProtocolTypeRouter(
    {
        # As runserver does: elsewhere a web server has the static files.
        "http": ASGIStaticFilesHandler(http) if settings.DEBUG else http,
        "websocket": JobsAuthMiddlewareStack(URLRouter(websocket_urlpatterns)),
    }
)

# With the extra `socketio` clients of Socket.IO are served too, at /socket.io/.
if find_spec("socketio"):
    from django_jobs.contrib.socketio import with_socketio

    application = with_socketio(application)
