"""Bodies of requests that are not read: no JSON, a strange charset, too large, another kind."""

from __future__ import annotations

from typing import Any

import pytest
from rest_framework.test import APIClient

from django_jobs.models import Organization
from tests.support.api import client_of
from tests.support.brokers import MemoryBroker
from tests.support.factories import make_user


@pytest.fixture
def client(broker: MemoryBroker, organization: Organization) -> APIClient:
    return client_of(make_user("alice", member_of=[organization]))


def test_a_body_that_is_no_submission_is_refused(subtests: pytest.Subtests, client: APIClient) -> None:
    cases: list[bytes] = [
        b"",
        b"[]",
        b'"text"',
        b"null",
        b"{",
        b"\xff\xfe",
        b'{"job_type": NaN}',
        b'{"parameters": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
        b'{"parameters": {"n": ' + b"9" * 5000 + b"}}",
    ]
    for content in cases:
        with subtests.test(content=content):
            answer = client.post("/api/jobs/", content, content_type="application/json")
            assert answer.status_code == 400


def test_a_charset_that_is_none_is_refused(subtests: pytest.Subtests, client: APIClient) -> None:
    kinds: list[str] = ["application/json", "application/x-www-form-urlencoded", "multipart/form-data", "x/y"]
    for charset in ("zlib", "base64", "undefined", "idna"):
        for kind in kinds:
            with subtests.test(charset=charset, kind=kind):
                body = b'--b\r\nContent-Disposition: form-data; name="job_type"\r\n\r\n\xff\xe9..\r\n--b--\r\n'
                answer = client.post("/api/jobs/", body, content_type=f"{kind}; boundary=b; charset={charset}")
                assert (answer.status_code, f"charset={charset}" in answer.json()["detail"]) == (415, True)


def test_a_charset_that_nobody_knows_is_not_looked_at(client: APIClient) -> None:
    answer = client.post("/api/jobs/", b"[]", content_type="application/json; charset=nonsense")
    assert (answer.status_code, list(answer.json())) == (400, ["non_field_errors"])


def test_a_charset_that_is_none_is_refused_before_anybody_is_known(broker: MemoryBroker) -> None:
    answer = client_of().generic("GET", "/api/jobs/", content_type="x/y; charset=undefined")
    assert answer.status_code == 415


@pytest.mark.parametrize("charset", ["utf-8", "UTF-16", "latin-1", "utf-7"])
def test_a_charset_of_text_is_read(client: APIClient, charset: str) -> None:
    answer = client.post("/api/jobs/", "[]".encode(charset), content_type=f"application/json; charset={charset}")
    assert (answer.status_code, list(answer.json())) == (400, ["non_field_errors"])


def test_a_huge_body_is_not_read(subtests: pytest.Subtests, client: APIClient, settings: Any) -> None:
    for content_type in ("application/json", "application/x-www-form-urlencoded", "text/plain"):
        for accept in ("application/json", "text/html"):
            with subtests.test(content_type=content_type, accept=accept):
                settings.DATA_UPLOAD_MAX_MEMORY_SIZE = 1000
                asked: dict[str, Any] = {"content_type": content_type, "HTTP_ACCEPT": accept}
                answers = [client.post("/api/jobs/", b"x" * size, **asked).status_code for size in (1000, 1001)]
                assert (answers[0] in {400, 415}, answers[1]) == (True, 413)


def test_a_body_of_another_kind_is_refused(client: APIClient) -> None:
    answer = client.post("/api/jobs/", b"<job/>", content_type="application/xml")
    assert (answer.status_code, answer.json()["code"]) == (415, "unsupported_media_type")
