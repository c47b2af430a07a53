"""Tickets that open a websocket once, and the websockets that are open."""

from __future__ import annotations

from django.conf import settings
from django.db import models

from django_jobs.models.base import StoredModel, with_database_defaults


@with_database_defaults
class SocketTicket(StoredModel):
    """A ticket that REST issued and no socket has used yet. Using it deletes the row, so it opens one socket.

    Only a digest of the ticket is stored. ``credential`` is the session or token for which it was issued. When that
    ends, the ticket ends too.
    """

    digest = models.CharField(primary_key=True, max_length=64)
    # No constraint in the database: on MariaDB an insert would wait for whoever has changed the user's row.
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="+", db_constraint=False)
    #: The kind of the credential that asked for it, and the credential itself, which only the ticket makes readable:
    #: ``session:<text>``, ``token:<text>``; blank: another kind.
    credential = models.TextField(blank=True)
    #: The user's session auth hash when a session asked, so that a changed password ends it.
    session_auth_hash = models.CharField(max_length=128, blank=True)
    expires_at = models.DateTimeField()

    class Meta:
        default_permissions = ()
        # The scheduler removes what nobody used.
        indexes = [models.Index(fields=["expires_at"], name="djobs_ticket_expiry")]

    def __str__(self) -> str:
        return f"socket ticket of user {self.user_id}"


class OpenSocket(StoredModel):
    """An open websocket of a user. Its process renews ``seen_at``, so that those of a dead process stop counting."""

    #: One of a fixed set of ids for each user, so that the primary key bounds how many there are
    #: (``engine.sockets.open_sockets``).
    id = models.UUIDField(primary_key=True)
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="+", db_constraint=False)
    #: The server process that holds it.
    process = models.UUIDField()
    seen_at = models.DateTimeField()

    class Meta:
        default_permissions = ()
        indexes = [
            # Renewing all sockets of a process.
            models.Index(fields=["process"], name="djobs_socket_process"),
        ]

    def __str__(self) -> str:
        return f"socket of user {self.user_id}"
