"""Live progress for clients of Socket.IO: the rooms, rights and limits of :mod:`django_jobs.realtime` by its protocol.

``application = with_socketio(application)`` around the host's ASGI application is all. It needs the extra ``socketio``.
This is the only package that imports ``engineio`` and ``socketio``.

Of the library it uses the transports (Engine.IO) and the packets. The few rules of Socket.IO between them are in
``clients``, and not those of ``socketio.AsyncServer``, which reads packets before anybody counts them, keeps binary
attachments without a bound, logs a traceback for each malformed packet, and lets frames pile up for a slow client.

- ``application``: the ASGI application, and what may reach the library's transports;
- ``server``: the open transports of a process;
- ``clients``: one client: who it is, what it asks for, what it is sent, and how it ends;
- ``credentials``: how a client says who it is;
- ``packets``: frames of ``realtime`` as packets, and packets as frames.
"""

from __future__ import annotations

try:
    import engineio  # noqa: F401
    import socketio  # noqa: F401
except ImportError as error:
    message = "Socket.IO needs the extra socketio: pip install 'django-durable-jobs[socketio]'"
    raise ImportError(message) from error

from django_jobs.contrib.socketio.server import with_socketio

__all__ = ["with_socketio"]
