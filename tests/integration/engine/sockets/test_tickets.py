"""A ticket opens one socket, and is worth no more than what it was issued for."""

from __future__ import annotations

import datetime as dt
import logging
from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.contrib.sessions.models import Session
from django.test import Client
from rest_framework.authentication import TokenAuthentication
from rest_framework.authtoken.models import Token
from rest_framework.test import APIClient

from django_jobs.models import SocketTicket
from tests.support import verbs
from tests.support.factories import PASSWORD, make_user
from tests.support.live import by_ticket, close_code, do, is_let_in, with_clients
from tests.support.tuning import Tuning
from tests.support.verbs import Interpose, Scheduler

pytestmark = pytest.mark.django_db(transaction=True)

REVOKED = 4401
URL = "/api/jobs/socket-ticket/"
JSON = "application/json"


@pytest.fixture
def user() -> User:
    return make_user("alice")


@pytest.fixture
def quick_rechecks(tuning: Tuning) -> None:
    tuning.set(hub_tick_seconds=0.01, hub_recheck_seconds=0.01)


def browser_of(user: User) -> Client:
    client = Client()
    client.force_login(user)
    return client


def by_session(user: User) -> str:
    return str(browser_of(user).post(URL, content_type=JSON).json()["ticket"])


def by_token(user: User) -> str:
    token, _ = Token.objects.get_or_create(user=user)
    return str(APIClient(headers={"authorization": f"Token {token.key}"}).post(URL).json()["ticket"])


def by_something_else(user: User) -> str:
    client = APIClient()
    client.force_authenticate(user)
    return str(client.post(URL, content_type=JSON).json()["ticket"])


def end_session(user: User) -> None:
    Session.objects.all().delete()


def let_session_run_out(user: User) -> None:
    Session.objects.update(expire_date=dt.datetime(2020, 1, 1, tzinfo=dt.UTC))


def delete_token(user: User) -> None:
    Token.objects.all().delete()


def change_password(user: User) -> None:
    user.set_password("another")
    user.save()


def deactivate(user: User) -> None:
    User.objects.update(is_active=False)


def delete_user(user: User) -> None:
    user.delete()


ENDS = [
    (by_session, end_session),
    (by_session, let_session_run_out),
    (by_session, change_password),
    (by_session, deactivate),
    (by_session, delete_user),
    (by_token, delete_token),
    (by_token, deactivate),
    (by_something_else, deactivate),
    (by_something_else, delete_user),
]
OTHERS = [(by_session, delete_token), (by_token, end_session), (by_token, change_password)]
Issue = Callable[[User], str]
End = Callable[[User], None]


@pytest.mark.parametrize("issue", [by_session, by_token, by_something_else])
def test_a_ticket_opens_one_socket_of_its_user(user: User, issue: Issue) -> None:
    ticket = issue(user)
    client = by_ticket(ticket)
    assert (is_let_in(client), client.protocol) == (True, "jobs.v1")
    assert close_code(by_ticket(ticket)) == REVOKED


@pytest.mark.parametrize(("issue", "end"), ENDS)
def test_a_ticket_dies_with_what_it_was_issued_for(user: User, issue: Issue, end: End) -> None:
    ticket = issue(user)
    end(user)
    assert close_code(by_ticket(ticket)) == REVOKED


@pytest.mark.usefixtures("quick_rechecks")
@pytest.mark.parametrize(("issue", "end"), ENDS)
def test_the_socket_that_it_opened_dies_too(user: User, issue: Issue, end: End) -> None:
    @with_clients(by_ticket(issue(user)))
    async def code(client: Any) -> int:
        await client.has_nothing()
        await do(end, user)
        return int(await client.close_code())

    assert code == REVOKED


@pytest.mark.parametrize(("issue", "end"), OTHERS)
def test_the_end_of_anything_else_is_not_its_end(user: User, issue: Issue, end: End) -> None:
    ticket = issue(user)
    end(user)
    assert is_let_in(by_ticket(ticket))


def test_logging_out_ends_the_tickets_of_this_session_alone(user: User) -> None:
    here, there = browser_of(user), browser_of(user)
    ours, theirs = (client.post(URL, content_type=JSON).json()["ticket"] for client in (here, there))
    here.logout()
    assert close_code(by_ticket(ours)) == REVOKED
    assert is_let_in(by_ticket(theirs))


def test_a_changed_password_ends_a_ticket_although_its_session_goes_on(user: User) -> None:
    client = browser_of(user)
    ticket = client.post(URL, content_type=JSON).json()["ticket"]
    change_password(user)
    session = client.session  # as a host may do that does not give the session a new key
    session["_auth_user_hash"] = user.get_session_auth_hash()
    session.save()
    assert client.post(URL, content_type=JSON).status_code == 200
    assert close_code(by_ticket(ticket)) == REVOKED


def test_a_tickets_token_of_somebody_else_is_none(user: User) -> None:
    ticket = by_token(user)
    Token.objects.update(user=make_user())
    assert close_code(by_ticket(ticket)) == REVOKED


def test_a_token_that_a_host_reads_elsewhere_ends_its_tickets_too(user: User, monkeypatch: pytest.MonkeyPatch) -> None:
    class InACookie(TokenAuthentication):
        def authenticate(self, request: Any) -> Any:
            return self.authenticate_credentials(request.COOKIES["token"])

    monkeypatch.setattr("rest_framework.views.APIView.authentication_classes", [InACookie])
    client = APIClient()
    client.cookies["token"] = Token.objects.create(user=user).key
    before, after = (client.post(URL, content_type=JSON).json()["ticket"] for _ in range(2))
    assert is_let_in(by_ticket(before))
    delete_token(user)
    assert close_code(by_ticket(after)) == REVOKED


@pytest.mark.parametrize("engine", ["cache", "cached_db", "file", "signed_cookies"])
def test_whatever_keeps_the_sessions_they_give_tickets(user: User, engine: str, settings: Any, tmp_path: Any) -> None:
    settings.SESSION_ENGINE = f"django.contrib.sessions.backends.{engine}"
    settings.SESSION_FILE_PATH = str(tmp_path)
    tickets = [by_session(user) for _ in range(2)]
    assert is_let_in(by_ticket(tickets[0]))
    change_password(user)
    assert close_code(by_ticket(tickets[1])) == REVOKED


def test_a_ticket_is_good_for_a_minute(user: User, interpose: Interpose) -> None:
    ticket, now = verbs.make_socket_ticket(user), verbs.now()
    interpose("now", lambda: now + dt.timedelta(seconds=61))
    assert verbs.use_socket_ticket(ticket) is None


@pytest.mark.parametrize("text", ["", "nonsense", "a:b:c", "\x00", "\udfff", "x" * 10_000])
def test_any_other_text_is_no_ticket(user: User, text: str) -> None:
    verbs.make_socket_ticket(user)
    assert verbs.use_socket_ticket(text) is None
    assert SocketTicket.objects.count() == 1


def test_rest_tells_how_long_and_lets_nobody_keep_it(user: User) -> None:
    answer = browser_of(user).post(URL, content_type=JSON)
    assert (answer.json().keys(), answer.json()["expires_in"]) == ({"ticket", "expires_in"}, 60)
    assert answer["Cache-Control"] == "no-store"


def test_a_ticket_fits_into_a_subprotocol(user: User) -> None:
    assert set(verbs.make_socket_ticket(user)) <= set(
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_"
    )


def test_whoever_reads_the_table_learns_neither_ticket_nor_credential(user: User) -> None:
    ticket = by_token(user)
    row = SocketTicket.objects.values().get()
    key = Token.objects.get().key
    assert not [value for value in row.values() if ticket in str(value) or key in str(value)]


def test_no_ticket_and_no_credential_is_logged(user: User, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    ticket = by_token(user)
    is_let_in(by_ticket(ticket))
    told = "".join(item.getMessage() for item in caplog.records if not item.name.startswith("django.db"))
    assert ticket not in told
    assert Token.objects.get().key not in told


@pytest.mark.usefixtures("broker")
def test_the_scheduler_removes_what_nobody_used(user: User) -> None:
    verbs.make_socket_ticket(user)
    SocketTicket.objects.update(expires_at=verbs.now() - dt.timedelta(seconds=1))
    good = verbs.make_socket_ticket(user)
    assert Scheduler("one").tick()["forget_socket_tickets"] == 1
    assert verbs.use_socket_ticket(good) is not None


def test_removing_them_is_one_bounded_batch(user: User, tuning: Tuning) -> None:
    tuning.set(socket_tickets_forgotten_at_once=2)
    for _ in range(3):
        verbs.make_socket_ticket(user)
    SocketTicket.objects.update(expires_at=verbs.now() - dt.timedelta(seconds=1))
    assert [verbs.forget_expired_socket_tickets() for _ in range(3)] == [2, 1, 0]


def test_a_login_by_password_gives_a_session_whose_ticket_is_let_in(user: User) -> None:
    client = Client()
    assert client.login(username="alice", password=PASSWORD)
    assert is_let_in(by_ticket(client.post(URL, content_type=JSON).json()["ticket"]))
