"""One mail to ADMINS, as Django's ``mail_admins`` sends it, over a connection that waits for no server for ever."""

from __future__ import annotations

from typing import Any, Final

from django.conf import settings
from django.core import mail

#: For so long a mail server may take for each of its answers, unless the host says how long: EMAIL_TIMEOUT, or in
#: MAILERS the option ``timeout``. Django has no limit of its own.
ANSWER_SECONDS: Final = 30.0


def send_to_admins(subject: str, text: str) -> None:
    """Send a mail to ADMINS. Raises what the host's mail backend raises."""
    connection = default_connection()
    if getattr(connection, "timeout", ANSWER_SECONDS) is None:  # the backends that have no such thing are left alone
        connection.timeout = ANSWER_SECONDS
    message = mail.EmailMessage(
        subject=f"{settings.EMAIL_SUBJECT_PREFIX}{subject}", body=text, from_email=settings.SERVER_EMAIL, to=_admins()
    )
    connection.send_messages([message])


def default_connection() -> Any:
    """Return a new connection of the host's own mail backend, which is not open yet."""
    mailers = getattr(mail, "mailers", None)  # since Django 6.1, which warns of the other one
    return mail.get_connection() if mailers is None else mailers.default


def _admins() -> list[str]:
    """Return the addresses. Before Django 6.0 each stands behind a name."""
    return [str(admin[1] if isinstance(admin, list | tuple) else admin) for admin in settings.ADMINS]
