"""The members' page in the language of its reader."""

from __future__ import annotations

import pytest
from django.test import Client

from django_jobs.models import Organization
from tests.support.admin import client_of
from tests.support.factories import make_user
from tests.support.members_page import page_of, text_of

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("broker")]


@pytest.fixture
def member(organization: Organization) -> Client:
    return client_of(make_user("alice", member_of=[organization]))


@pytest.mark.parametrize(("language", "direction"), [("en", "ltr"), ("de", "ltr"), ("pt-br", "ltr"), ("ar", "rtl")])
def test_a_page_says_its_language_and_direction(
    member: Client, organization: Organization, language: str, direction: str
) -> None:
    text = text_of(member.get(page_of(organization), headers={"Accept-Language": language}))

    assert f'<html lang="{language}" dir="{direction}">' in text
    assert f'<option value="{language}" lang="{language}" selected>' in text


def test_the_switch_changes_the_language_and_stays_on_the_page(member: Client, organization: Organization) -> None:
    response = member.post("/i18n/setlang/", {"language": "ar", "next": page_of(organization)}, follow=True)

    assert response.redirect_chain == [(page_of(organization), 302)]
    assert '<html lang="ar" dir="rtl">' in text_of(response)


def test_a_language_that_is_not_there_changes_nothing(member: Client, organization: Organization) -> None:
    response = member.post("/i18n/setlang/", {"language": "xx", "next": page_of(organization)}, follow=True)

    assert '<html lang="en" dir="ltr">' in text_of(response)


def test_whoever_is_not_logged_in_may_switch(organization: Organization) -> None:
    assert 'action="/i18n/setlang/"' in text_of(Client().get("/login/"))
