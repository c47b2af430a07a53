"""A real mail server in this process, and the settings by which another process sends to it."""

from __future__ import annotations

import email
import os
from collections.abc import Iterator
from contextlib import contextmanager
from email.message import Message
from typing import Any, Final

import django

from tests.support.addresses import free_port

#: Where a process of a test finds the mail server: host and port.
VARIABLE: Final = "DJANGO_JOBS_TEST_SMTP"
ADMIN: Final = "ops@shop.example"


class Inbox:
    """What arrived, in order. While ``is_closed``, the server refuses everything."""

    def __init__(self) -> None:
        self.messages: list[Message] = []
        self.is_closed = False
        self.refused = 0

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:  # noqa: N802  (aiosmtpd's name)
        if self.is_closed:
            self.refused += 1
            return "451 Try again later"
        self.messages.append(email.message_from_bytes(envelope.content))
        return "250 OK"

    def subjects(self) -> list[str]:
        return [str(message["Subject"]) for message in self.messages]


@contextmanager
def mail_server() -> Iterator[tuple[Inbox, dict[str, str]]]:
    """An inbox, and the environment of a process that sends to it."""
    from aiosmtpd.controller import Controller

    inbox, port = Inbox(), free_port()
    controller = Controller(inbox, hostname="127.0.0.1", port=port)
    controller.start()
    try:
        yield inbox, {VARIABLE: f"127.0.0.1:{port}"}
    finally:
        controller.stop()


def mail_settings() -> dict[str, Any]:
    """The settings that the environment asks for; Django 6.1 names some differently."""
    if VARIABLE not in os.environ:
        return {}
    host, _, port = os.environ[VARIABLE].partition(":")
    backend = "django.core.mail.backends.smtp.EmailBackend"
    if django.VERSION < (6, 1):
        named = {"EMAIL_BACKEND": backend, "EMAIL_HOST": host, "EMAIL_PORT": int(port), "EMAIL_TIMEOUT": 10}
        return {**named, "ADMINS": [("Ops", ADMIN)]}
    options = {"host": host, "port": int(port), "timeout": 10}
    return {"MAILERS": {"default": {"BACKEND": backend, "OPTIONS": options}}, "ADMINS": [ADMIN]}
