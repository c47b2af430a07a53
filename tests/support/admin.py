"""Visiting the admin as somebody."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.admin.utils import quote
from django.contrib.auth.models import User
from django.template.response import SimpleTemplateResponse
from django.test import Client
from django.urls import reverse

from django_jobs.models import Job, Organization
from tests.support.factories import make_system_admin, make_user

MODELS: Final = ("job", "executionlog", "jobtype", "organization", "membership")
VIEWS: Final = [f"django_jobs.view_{name}" for name in MODELS]


def client_of(user: User) -> Client:
    """A browser in which this user is logged in."""
    client = Client()
    client.force_login(user)
    return client


def superuser() -> Client:
    return client_of(make_user("root", is_staff=True, is_superuser=True))


def system_admin() -> Client:
    """Somebody who manages all jobs without being a superuser."""
    user = make_system_admin("sysadmin")
    User.objects.filter(pk=user.pk).update(is_staff=True)
    return client_of(user)


def staff_of(organization: Organization, *, role: str = "member", permissions: list[str] | None = None) -> Client:
    """Staff who may look at all pages, and have a role in one organization."""
    roles: Any = {f"{role}_of": [organization]}
    return client_of(make_user(role, permissions=VIEWS if permissions is None else permissions, is_staff=True, **roles))


def url(model: str, page: str, *args: str | int) -> str:
    return reverse(f"admin:django_jobs_{model}_{page}", args=[quote(arg) for arg in args])


def text(client: Client, address: str, **query: str) -> str:
    """What a page that is there says."""
    response = client.get(address, query)
    assert response.status_code == 200
    return response.content.decode()


def page_of(client: Client, job: Job, **query: str) -> str:
    """What the page of a job says."""
    return text(client, url("job", "change", job.pk), **query)


@contextmanager
def nothing_rendered() -> Iterator[None]:
    """Let views answer with empty pages once they have found what to show: templates take half of the time."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(SimpleTemplateResponse, "rendered_content", "")
        yield


def listed(client: Client, **query: Any) -> list[Job]:
    """The jobs that the list shows."""
    return list(asked(client, query).result_list)


def asked(client: Client, query: dict[str, Any], model: str = "job") -> Any:
    """Django's ``ChangeList`` of a list; its page is not rendered."""
    with nothing_rendered():
        response: Any = client.get(url(model, "changelist"), query)
    return response.context_data["cl"]


def chosen(verb: str, *jobs: Job, **fields: str) -> dict[str, Any]:
    """The list's form with these jobs and this action chosen."""
    return {"action": f"{verb}_jobs", "_selected_action": [job.pk for job in jobs], **fields}


def said(response: Any) -> list[str]:
    """The messages on the page that followed."""
    return [str(message) for message in response.context["messages"]]


def codes_said(response: Any) -> list[str]:
    """The codes of the messages on the page that followed: their ``extra_tags``; "" where one is Django's own."""
    return [message.extra_tags or "" for message in response.context["messages"]]


def codes_on(page: Any) -> list[str]:
    """The codes on a page, given as its answer or its text: of the messages first, then each ``data-code``."""
    shown = page if isinstance(page, str) else page.content.decode()
    messages = re.findall(r'<ul class="messagelist">(.*?)</ul>', shown, re.DOTALL)
    tags = [found.split() for part in messages for found in re.findall(r'<li class="([^"]*)"', part)]
    said = [code for code, *levels in tags if levels]
    return said + re.findall(r'data-code="([^"]+)"', shown)


def form_codes(response: Any) -> dict[str, list[str]]:
    """The codes of what is said beside each field of the page's form."""
    errors = response.context["form"].errors.as_data()
    return {name: [error.code for error in found] for name, found in errors.items()}


def remembered(obj: Any) -> list[tuple[str, str]]:
    """What the admin's own history says of an object: who, what."""
    entries = LogEntry.objects.filter(object_id=str(obj.pk)).order_by("pk")
    return [(entry.user.get_username(), entry.change_message) for entry in entries]


def actors(obj: Any) -> list[str]:
    """Who did something to an object, by the admin's own history."""
    return [who for who, _ in remembered(obj)]


def fact_on(page: str, name: str) -> str:
    """What a page says in the line of this name, as markup; empty where there is no such line."""
    found = re.search(rf'(?:form-row|fieldBox) field-{name}".*?<div class="readonly">(.*?)</div>', page, re.DOTALL)
    return found[1] if found else ""


def news(client: Client, address: str) -> tuple[str, str]:
    """What an open page has read out, and the state of it, another one of which is read out at once."""
    found = re.search(r'data-djobs-news="([^"]*)" data-djobs-news-state="([^"]*)"', text(client, address))
    assert found is not None
    return html.unescape(found[1]), found[2]
