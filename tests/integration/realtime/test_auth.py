"""Who may open a socket, and until when."""

from __future__ import annotations

import logging
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.contrib.sessions.models import Session
from rest_framework.authentication import SessionAuthentication, TokenAuthentication
from rest_framework.authtoken.models import Token
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.settings import api_settings

from tests.support.factories import make_user
from tests.support.live import LiveClient, by_session, by_token, close_code, do, is_let_in, with_clients
from tests.support.tuning import Tuning
from tests.support.verbs import LayerSubscription

pytestmark = [pytest.mark.django_db(transaction=True)]

REVOKED = 4401
TRY_AGAIN = 1013


@pytest.fixture
def user() -> User:
    return make_user()


@pytest.fixture
def quick_rechecks(tuning: Tuning) -> None:
    tuning.set(hub_tick_seconds=0.01, hub_recheck_seconds=0.01)


def test_a_browser_comes_in_by_its_session(user: User) -> None:
    assert is_let_in(by_session(user))


def test_a_session_counts_only_from_a_page_of_this_host(subtests: pytest.Subtests, user: User) -> None:
    cases: list[str | None] = [
        None,
        "null",
        "https://evil.example",
        "http://localhost.evil.example",
        "http://localhost:8001",
        "http://user@localhost",
        "ftp://localhost",
        "localhost",
        "http://localhost:port",
        "http://localhost/path",
    ]
    for origin in cases:
        with subtests.test(origin=origin):
            assert close_code(by_session(user, origin)) == REVOKED
    twice = by_session(user, "https://evil.example")
    twice.scope["headers"].append((b"origin", b"http://localhost"))
    assert close_code(twice) == REVOKED


def test_a_session_counts_from_pages_that_the_host_names(subtests: pytest.Subtests, user: User, settings: Any) -> None:
    for origin in ("https://app.example", "https://a.shop.example", "http://localhost:80"):
        with subtests.test(origin=origin):
            trusted = ("https://app.example", "https://*.shop.example")
            settings.DJANGO_JOBS = {**settings.DJANGO_JOBS, "WEBSOCKET_ORIGINS": trusted}
            assert is_let_in(by_session(user, origin))


def test_a_named_page_is_named_with_scheme_and_port(subtests: pytest.Subtests, user: User, settings: Any) -> None:
    for origin in ("http://app.example", "https://app.example:444", "https://shop.example"):
        with subtests.test(origin=origin):
            trusted = ("https://app.example", "https://*.shop.example")
            settings.DJANGO_JOBS = {**settings.DJANGO_JOBS, "WEBSOCKET_ORIGINS": trusted}
            assert close_code(by_session(user, origin)) == REVOKED


def test_a_blank_origin_in_the_settings_names_no_page(user: User, settings: Any) -> None:
    settings.DJANGO_JOBS = {**settings.DJANGO_JOBS, "WEBSOCKET_ORIGINS": ("",)}
    assert close_code(by_session(user, None)) == REVOKED


def test_a_plain_page_does_not_count_on_an_encrypted_host(user: User, settings: Any) -> None:
    settings.SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
    client = by_session(user)
    client.scope["headers"].append((b"x-forwarded-proto", b"https"))
    assert close_code(client) == REVOKED
    client = by_session(user)
    client.scope["headers"].append((b"x-forwarded-proto", b"http"))
    assert is_let_in(client)
    client = by_session(user)
    client.scope["scheme"] = "wss"
    assert close_code(client) == REVOKED


def test_the_name_of_the_host_that_a_proxy_tells_counts_where_the_host_says_so(user: User, settings: Any) -> None:
    settings.ALLOWED_HOSTS = ["localhost", "shop.example"]

    def client() -> LiveClient:
        found = by_session(user, "http://shop.example")
        found.scope["headers"].append((b"x-forwarded-host", b"shop.example"))
        return found

    assert close_code(client()) == REVOKED
    settings.USE_X_FORWARDED_HOST = True
    assert is_let_in(client())


def test_a_host_that_is_not_ours_makes_no_page_its_own(user: User) -> None:
    client = by_session(user, "http://evil.example")
    client.scope["headers"] = [(n, b"evil.example" if n == b"host" else v) for n, v in client.scope["headers"]]
    assert close_code(client) == REVOKED


def test_a_native_client_comes_in_by_its_token_without_an_origin(user: User) -> None:
    assert is_let_in(by_token(user))


def test_a_token_may_come_as_a_subprotocol(user: User) -> None:
    client = LiveClient(
        {"origin": "https://elsewhere.example"}, ["jobs.v1", f"token.{Token.objects.create(user=user).key}"]
    )
    assert (is_let_in(client), client.protocol) == (True, "jobs.v1")


def test_nobody_is_let_in(subtests: pytest.Subtests) -> None:
    cases: list[tuple[dict[str, str], list[str]]] = [
        ({}, []),
        ({"authorization": "Token nonsense"}, []),
        ({"authorization": "Token "}, []),
        ({"authorization": "Token a\0b"}, []),
        ({"authorization": "Basic YTpi"}, []),
        ({"cookie": "sessionid=nonsense", "origin": "http://localhost"}, []),
        ({}, ["jobs.v1", "ticket.nonsense"]),
        ({}, ["jobs.v1", "ticket."]),
        ({}, ["jobs.v1", "token." + "x" * 10_000]),
        ({}, ["jobs.v1"]),
    ]
    for headers, subprotocols in cases:
        with subtests.test(headers=headers, subprotocols=subprotocols):
            assert close_code(LiveClient(headers, subprotocols)) == REVOKED


def test_a_token_without_the_protocols_name_does_not_count(user: User) -> None:
    assert close_code(LiveClient({}, [f"token.{Token.objects.create(user=user).key}"])) == REVOKED


def test_a_bad_token_is_not_made_good_by_a_session(user: User) -> None:
    client = by_session(user)
    client.scope["subprotocols"] = ["jobs.v1", "token.nonsense"]
    assert close_code(client) == REVOKED


def test_an_inactive_user_is_nobody(user: User) -> None:
    client = by_token(user)
    User.objects.update(is_active=False)
    assert close_code(client) == REVOKED


class BearerAuthentication(TokenAuthentication):
    """A host's own class."""

    keyword = "Bearer"


class PickyAuthentication(TokenAuthentication):
    """Takes tokens of its own making, and only from clients that say which app they are."""

    def authenticate(self, request: Any) -> Any:
        is_theirs = request.headers.get("X-App") == "shop" and "Cookie" not in request.headers
        return super().authenticate(request) if is_theirs else None

    def authenticate_credentials(self, key: str) -> Any:
        name, _, secret = key.partition("-")
        if secret != "secret":
            raise AuthenticationFailed
        return User.objects.get(username=name), key


def rest_takes(monkeypatch: pytest.MonkeyPatch, *classes: Any) -> None:
    monkeypatch.setattr(api_settings, "DEFAULT_AUTHENTICATION_CLASSES", classes)


@pytest.mark.parametrize("way", ["header", "subprotocol"])
def test_where_rest_takes_no_tokens_the_socket_takes_none(
    user: User, way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    rest_takes(monkeypatch, SessionAuthentication)
    client = by_session(user)
    key = Token.objects.create(user=user).key
    if way == "header":
        client.scope["headers"].append((b"authorization", f"Token {key}".encode()))
    else:
        client.scope["subprotocols"] = ["jobs.v1", f"token.{key}"]
    assert close_code(client) == REVOKED


def test_the_keyword_is_the_one_of_rest(user: User, monkeypatch: pytest.MonkeyPatch) -> None:
    rest_takes(monkeypatch, BearerAuthentication)
    key = Token.objects.create(user=user).key
    assert is_let_in(LiveClient({"authorization": f"bearer {key}"}))
    assert is_let_in(LiveClient({}, ["jobs.v1", f"token.{key}"]))
    assert close_code(LiveClient({"authorization": f"Token {key}"})) == REVOKED


@pytest.mark.parametrize(
    ("headers", "is_in"),
    [
        ({"authorization": "Token alice-secret", "x-app": "shop", "cookie": "not=kept"}, True),
        ({"authorization": "Token alice-secret"}, False),
        ({"authorization": "Token alice-guess", "x-app": "shop"}, False),
    ],
)
def test_a_hosts_own_class_decides_on_its_tokens(
    headers: dict[str, str], is_in: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_user("alice")
    rest_takes(monkeypatch, PickyAuthentication)
    client = LiveClient(headers)
    assert is_let_in(client) if is_in else close_code(client) == REVOKED


def test_a_class_that_fails_lets_nobody_in_and_is_logged(
    user: User, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(BearerAuthentication, "authenticate_credentials", lambda *args: 1 / 0)
    rest_takes(monkeypatch, BearerAuthentication)
    assert close_code(LiveClient({"authorization": "Bearer abc"})) == TRY_AGAIN
    assert "event=socket_authentication_failed error=ZeroDivisionError" in caplog.text


def test_what_a_proxy_asked_for_does_not_speak_against_a_session(user: User) -> None:
    client = by_session(user)
    client.scope["headers"].append((b"authorization", b"Basic YTpi"))
    assert is_let_in(client)


def test_a_session_from_before_a_new_password_is_over(user: User) -> None:
    client = by_session(user)
    user.set_password("another")
    user.save()
    assert close_code(client) == REVOKED


def test_a_session_of_a_backend_that_the_host_gave_up_is_over(user: User, settings: Any) -> None:
    client = by_session(user)
    settings.AUTHENTICATION_BACKENDS = ["django.contrib.auth.backends.RemoteUserBackend"]
    assert close_code(client) == REVOKED


@pytest.mark.usefixtures("quick_rechecks")
@pytest.mark.parametrize("way", [by_session, by_token])
def test_a_deactivated_user_is_put_out(user: User, way: Any) -> None:
    @with_clients(way(user))
    async def code(client: LiveClient) -> int:
        await client.has_nothing()
        await do(User.objects.update, is_active=False)
        return await client.close_code()

    assert code == REVOKED


@pytest.mark.usefixtures("quick_rechecks")
def test_a_deactivated_user_is_put_out_although_the_layer_fails(user: User, monkeypatch: pytest.MonkeyPatch) -> None:
    async def fail(self: LayerSubscription) -> None:
        raise ConnectionError

    @with_clients(by_token(user))
    async def code(client: LiveClient) -> int:
        await client.has_nothing()
        with monkeypatch.context() as patch:
            patch.setattr(LayerSubscription, "follow", fail)
            await do(User.objects.update, is_active=False)
            return await client.close_code()

    assert code == REVOKED


@pytest.mark.usefixtures("quick_rechecks")
def test_the_end_of_the_session_is_the_end_of_the_socket(user: User) -> None:
    @with_clients(by_session(user))
    async def code(client: LiveClient) -> int:
        await client.has_nothing()
        await do(Session.objects.all().delete)
        return await client.close_code()

    assert code == REVOKED


@pytest.mark.usefixtures("quick_rechecks")
def test_a_revoked_token_is_the_end_of_the_socket(user: User) -> None:
    @with_clients(by_token(user))
    async def code(client: LiveClient) -> int:
        await client.has_nothing()
        await do(Token.objects.all().delete)
        return await client.close_code()

    assert code == REVOKED


def test_no_key_is_logged(user: User, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    key = Token.objects.create(user=user).key
    with caplog.at_level(logging.DEBUG, "django_jobs"):
        is_let_in(LiveClient({}, ["jobs.v1", f"token.{key}"]))
    assert key not in "".join(
        record.getMessage() for record in caplog.records if not record.name.startswith("django.db")
    )
