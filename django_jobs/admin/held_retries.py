"""Why a job that was retried waits: somebody or a breaker holds its type; and the button that ends that."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from django.http import HttpRequest
from django.middleware.csrf import get_token
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from django_jobs.admin.base import is_system_admin
from django_jobs.admin.breaker_notices import CLOSE
from django_jobs.admin.monitor_links import Links
from django_jobs.admin.widgets import Button
from django_jobs.engine.insight.inspection import held_types, is_held
from django_jobs.engine.insight.status import describe
from django_jobs.models import Job, JobType

PAUSED: Final = "type_paused"
DISABLED: Final = "type_disabled"
BREAKER: Final = "breaker"
#: By the reason why a job waits (``JobStatus.waiting_for``): what is told of one that was retried.
TOLD: Final[Mapping[str, Any]] = {
    PAUSED: gettext_lazy("{job} waits, because its type is paused: it starts once the type is resumed."),
    DISABLED: gettext_lazy("{job} waits, because its type is disabled: it starts once the type is enabled."),
    BREAKER: gettext_lazy(
        "{job} waits, because the breaker of its type is open: it starts once a job that tries gets through."
    ),
    "organization_inactive": gettext_lazy(
        "{job} waits, because its organization is suspended: it starts once that is active again."
    ),
}
#: By the reason why all jobs of a type wait: what is told of those that will be retried.
WILL_WAIT: Final[Mapping[str, Any]] = {
    PAUSED: gettext_lazy("The type is paused: what is retried waits until it is resumed."),
    DISABLED: gettext_lazy("The type is disabled: what is retried waits until it is enabled."),
    BREAKER: gettext_lazy(
        "The breaker of the type is open: what is retried waits until a job that tries gets through."
    ),
}
#: What the buttons of failures do about it, and their words.
ENDS: Final[Mapping[str, tuple[str, Any]]] = {
    PAUSED: ("resume_type", gettext_lazy("Resume the type")),
    DISABLED: ("enable_type", gettext_lazy("Enable the type")),
}


def reason_of(kind: JobType | None, *, is_held: bool) -> str:
    """Return why no job of a type starts, by the names above; empty where nothing holds them all."""
    if kind is None:
        return ""
    if not kind.is_enabled:
        return DISABLED
    return PAUSED if kind.is_paused else BREAKER if is_held else ""


def button_for(request: HttpRequest, links: Links, reason: str, job_type: str, back: str) -> Button | None:
    """Return the button that ends the reason, for who may press it; it leads back to this address."""
    if not is_system_admin(request):
        return None
    if reason == BREAKER:
        url = links.close_breaker(job_type)
        return Button(words=str(CLOSE), url=url) if url else None
    if reason not in ENDS or not links.failure_act():
        return None
    action, words = ENDS[reason]
    return Button(
        words=str(words), url=links.failure_act(), fields={"job_type": job_type, "action": action, "next": back}
    )


def retried(request: HttpRequest, links: Links, job: Job, link: Any, back: str) -> tuple[SafeString, str]:
    """Return what to say of a job that was retried just now, and the reason why it waits; "" where nothing holds it.

    ``link`` names the job. The message has the button that lets it go; that leads ``back``.
    """
    reason = describe(job).waiting_for or ""
    if reason not in TOLD:
        return format_html(_("{job} starts over. Its page shows what becomes of it."), job=link), ""
    text = format_html(str(TOLD[reason]), job=link)
    button = button_for(request, links, reason, job.job_type_id, back)
    return (text if button is None else format_html("{} {}", text, drawn(request, button))), reason


def will_wait(request: HttpRequest, links: Links, job_type: str, back: str) -> tuple[SafeString, str] | None:
    """Return what to say of jobs of a type that will be retried, with the button, and why they wait; None where nothing
    holds them.
    """
    kind = JobType.primary.filter(pk=job_type).first()
    held = held_types([job_type]) if kind and kind.breaker_failures else {}
    reason = reason_of(kind, is_held=is_held(held, job_type, None))
    if not reason:
        return None
    button = button_for(request, links, reason, job_type, back)
    return format_html("{} {}", WILL_WAIT[reason], "" if button is None else drawn(request, button)), reason


def drawn(request: HttpRequest, button: Button) -> SafeString:
    """Return a button for a message, which no template draws."""
    if not button.fields:
        return format_html('<a role="button" class="button djobs-act" href="{}">{}</a>', button.url, button.words)
    fields = {"csrfmiddlewaretoken": get_token(request), **button.fields}
    hidden = format_html_join("", '<input type="hidden" name="{}" value="{}">', fields.items())
    return format_html(
        '<form method="post" action="{}" class="djobs-inline">{}'
        '<button type="submit" class="button djobs-act">{}</button></form>',
        button.url,
        hidden,
        button.words,
    )
