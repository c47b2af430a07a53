"""One mail to ADMINS: what it says beside its text, and for how long a server is waited for."""

from __future__ import annotations

from typing import Any

import django
import pytest
from django.core import mail

from tests.support import verbs
from tests.support.networks import blackhole
from tests.support.tuning import Tuning

ADMIN = "ops@shop.example"


@pytest.fixture(autouse=True)
def _admins(settings: Any) -> None:
    settings.ADMINS = [ADMIN, ADMIN] if django.VERSION >= (6, 0) else [("Ops", ADMIN), ("Boss", ADMIN)]


def use_smtp(settings: Any, port: int, **options: float) -> None:
    """Let mails go by SMTP to this port; ``timeout`` is the only option. Django 6.1 names the settings differently."""
    backend = "django.core.mail.backends.smtp.EmailBackend"
    if django.VERSION < (6, 1):
        settings.EMAIL_BACKEND, settings.EMAIL_HOST, settings.EMAIL_PORT = backend, "127.0.0.1", port
        settings.EMAIL_TIMEOUT = options.get("timeout")
    else:
        settings.MAILERS = {
            "default": {"BACKEND": backend, "OPTIONS": {"host": "127.0.0.1", "port": port, **options}},
        }


def test_it_is_what_mail_admins_sends(settings: Any) -> None:
    settings.EMAIL_SUBJECT_PREFIX, settings.SERVER_EMAIL = "[Shop] ", "server@shop.example"
    verbs.send_to_admins("Alarm", "It fails.")
    mail.mail_admins("Alarm", "It fails.")
    ours, djangos = ((item.subject, item.body, item.from_email, item.to) for item in mail.outbox)
    assert ours == djangos == ("[Shop] Alarm", "It fails.", "server@shop.example", [ADMIN, ADMIN])


def test_a_server_that_says_nothing_is_given_up(settings: Any, tuning: Tuning) -> None:
    tuning.set(mail_server_answer_seconds=0.2)
    with blackhole() as port:
        use_smtp(settings, port)
        with pytest.raises(OSError, match="timed out"):
            verbs.send_to_admins("Alarm", "It fails.")


def test_how_long_the_host_waits_is_the_hosts_to_say(settings: Any, tuning: Tuning) -> None:
    tuning.set(mail_server_answer_seconds=3600.0)
    with blackhole() as port:
        use_smtp(settings, port, timeout=0.2)
        with pytest.raises(OSError, match="timed out"):
            verbs.send_to_admins("Alarm", "It fails.")
