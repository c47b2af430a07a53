"""The system checks of settings, storages and databases, each both ways."""

from __future__ import annotations

import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from django.core.checks import CheckMessage, run_checks
from django.core.files.storage import Storage

from tests.support import verbs
from tests.support.checks import checked
from tests.support.verbs import THROTTLE_RATES

QUEUES = {"Critical": "a", "High": "b", "Normal": "c", "Low": "d"}


def ids(messages: list[CheckMessage]) -> list[str | None]:
    return [message.id for message in messages]


def test_known_settings_are_fine(settings: Any) -> None:
    settings.DJANGO_JOBS = {"MAX_RETRIES": 3, "ACCESS_POLICY": None}
    assert checked("W001") == []


def test_no_settings_are_fine(settings: Any) -> None:
    del settings.DJANGO_JOBS
    assert checked("W001") == []


def test_an_unknown_setting_is_reported_by_name(settings: Any) -> None:
    settings.DJANGO_JOBS = {"MAX_RETIRES": 3}
    (message,) = checked("W001")
    assert message.id == "django_jobs.W001"
    assert "MAX_RETIRES" in message.msg


def test_four_configured_queues_are_fine(settings: Any) -> None:
    settings.DJANGO_JOBS = {"QUEUES": QUEUES}
    settings.RQ_QUEUES = {name: {} for name in "abcd"}
    assert checked("E001", "E002") == []


def test_a_priority_without_a_queue_is_an_error(settings: Any) -> None:
    settings.DJANGO_JOBS = {"QUEUES": {"Critical": "a"}}
    (message,) = checked("E001", "E002")
    assert message.id == "django_jobs.E001"
    assert "Low, Normal, High" in message.msg


@pytest.mark.parametrize("name", [None, "", ["jobs-low"], 7])
def test_a_queue_whose_name_is_none_is_an_error(settings: Any, name: Any) -> None:
    settings.DJANGO_JOBS = {"QUEUES": {**QUEUES, "Low": name}}
    settings.RQ_QUEUES = {name: {} for name in "abcd"}
    (message,) = checked("E001", "E002")
    assert (message.id, "DJANGO_JOBS['QUEUES']" in message.msg, "Low" in message.msg) == (
        "django_jobs.E001",
        True,
        True,
    )
    assert verbs.check_one_redis() == []


def test_a_queue_that_rq_does_not_know_is_an_error(settings: Any) -> None:
    settings.DJANGO_JOBS = {"QUEUES": QUEUES}
    settings.RQ_QUEUES = {name: {} for name in "abc"}
    assert ids(checked("E001", "E002")) == ["django_jobs.E002"]


@pytest.mark.parametrize("value", [None, "redis://:secret@localhost"])
def test_a_queue_for_which_rq_has_no_dict_is_an_error(settings: Any, value: Any) -> None:
    settings.DJANGO_JOBS = {"QUEUES": QUEUES}
    settings.RQ_QUEUES = {"a": {}, "b": {}, "c": {}, "d": value}
    (message,) = checked("E001", "E002")
    assert (message.id, "RQ_QUEUES['d']" in message.msg, "secret" in str(message)) == ("django_jobs.E002", True, False)
    settings.RQ_QUEUES = value
    assert ids(checked("E001", "E002")) == ["django_jobs.E002"] * 4


@pytest.mark.parametrize(
    ("vendor", "is_mariadb", "expected"),
    [
        ("mysql", False, ["django_jobs.E004"]),
        ("mysql", True, []),
        ("postgresql", False, []),
        ("sqlite", False, []),
    ],
)
def test_mysql_alone_is_refused(
    monkeypatch: pytest.MonkeyPatch, vendor: str, is_mariadb: bool, expected: list[str]
) -> None:
    connections = {"default": SimpleNamespace(vendor=vendor, mysql_is_mariadb=is_mariadb, settings_dict={})}
    monkeypatch.setattr("django_jobs.engine.store.base_jobs.Store.hides_changes", lambda _: False)
    monkeypatch.setattr("django_jobs.engine.store.mariadb.MariaDBStore.hides_changes", lambda _: False)
    monkeypatch.setattr("django.db.connections", connections)
    assert ids(checked("E004", "E020", "E015")) == expected


@pytest.mark.parametrize(
    ("zone", "expected"), [("Europe/Berlin", ["django_jobs.E015"]), ("UTC", []), (None, [])], ids=str
)
def test_a_database_that_keeps_local_times_is_an_error(
    monkeypatch: pytest.MonkeyPatch, zone: str | None, expected: list[str]
) -> None:
    connections = {"default": SimpleNamespace(vendor="postgresql", settings_dict={"TIME_ZONE": zone})}
    monkeypatch.setattr("django.db.connections", connections)
    assert ids(checked("E004", "E020", "E015")) == expected


def test_a_database_that_is_not_checked_is_not_connected_to(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("django.db.connections", {})
    assert run_checks(tags=["django_jobs"], databases=[]) == []


def with_storage(settings: Any, backend: str, **options: Any) -> list[str | None]:
    """What the check says when this storage holds the files of jobs."""
    settings.STORAGES = {**settings.STORAGES, "private": {"BACKEND": backend, "OPTIONS": options}}
    settings.DJANGO_JOBS = {"OUTPUT_STORAGE": "private"}
    return ids(checked("E013", "W010"))


FILES = "django.core.files.storage.FileSystemStorage"


def test_a_storage_that_no_url_serves_is_fine(settings: Any) -> None:
    assert with_storage(settings, FILES) == []


def test_a_storage_in_a_media_root_that_is_served_is_reported(settings: Any) -> None:
    settings.MEDIA_URL = "/media/"
    assert with_storage(settings, FILES) == ["django_jobs.W010"]


def test_a_storage_beside_the_media_root_is_fine(settings: Any, tmp_path: Path) -> None:
    settings.MEDIA_URL, settings.MEDIA_ROOT = "/media/", tmp_path / "media"
    assert with_storage(settings, FILES, location=tmp_path / "private") == []


def test_a_storage_in_the_static_root_is_reported(settings: Any) -> None:
    assert with_storage(settings, FILES, location=settings.STATIC_ROOT / "reports") == ["django_jobs.W010"]


class Bucket(Storage):
    """As django-storages' are, in what the check looks at."""

    def __init__(self, *, querystring_auth: bool = True, default_acl: str | None = None) -> None:
        self.querystring_auth = querystring_auth
        self.default_acl = default_acl


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, []),
        ({"querystring_auth": False}, ["django_jobs.W010"]),
        ({"default_acl": "public-read"}, ["django_jobs.W010"]),
        ({"default_acl": "private"}, []),
    ],
)
def test_a_bucket_that_is_open_is_reported(settings: Any, options: dict[str, Any], expected: list[str]) -> None:
    assert with_storage(settings, f"{__name__}.Bucket", **options) == expected


def test_a_storage_that_is_not_there_is_an_error(settings: Any) -> None:
    settings.DJANGO_JOBS = {"OUTPUT_STORAGE": "elsewhere"}
    assert ids(checked("E013", "W010")) == ["django_jobs.E013"]


def test_a_number_that_is_none_is_told(subtests: pytest.Subtests, settings: Any) -> None:
    value_cases: list[Any] = ["30", -1, True, math.nan, math.inf, 10**400]
    for name in ("LEASE_SECONDS", "MAX_RETRIES", "RETENTION_DAYS", "MAX_BACKLOG_PER_ORGANIZATION"):
        for value in value_cases:
            with subtests.test(name=name, value=value):
                settings.DJANGO_JOBS = {name: value}
                (message,) = checked("E014")
                assert message.id == "django_jobs.E014"
                assert name in message.msg


def test_a_lease_of_no_seconds_is_told(settings: Any) -> None:
    settings.DJANGO_JOBS = {"LEASE_SECONDS": 0}
    assert ids(checked("E014")) == ["django_jobs.E014"]


def test_more_days_than_the_calendar_has_are_told(settings: Any) -> None:
    settings.DJANGO_JOBS = {"RETENTION_DAYS": 1_000_000}
    (message,) = checked("E014")
    assert all(part in message.msg for part in ("DJANGO_JOBS['RETENTION_DAYS']", "365000", "1000000"))


def test_a_grace_may_be_endless(settings: Any) -> None:
    settings.DJANGO_JOBS = {"CANCEL_GRACE_SECONDS": math.inf, "RETENTION_DAYS": 365_000}
    assert checked("E014") == []


def test_the_defaults_are_fine(settings: Any) -> None:
    settings.DJANGO_JOBS = {"MAX_BACKLOG_PER_ORGANIZATION": 0, "SCHEDULER_INTERVAL": 0.5}
    assert checked("E014") == []


def test_naive_times_are_refused(settings: Any) -> None:
    settings.USE_TZ = False
    assert ids(checked("E008")) == ["django_jobs.E008"]


def test_aware_times_are_fine(settings: Any) -> None:
    settings.USE_TZ = True
    assert checked("E008") == []


def test_a_throttle_rate_that_is_none_is_told(subtests: pytest.Subtests, settings: Any) -> None:
    cases: list[Any] = [{"submit": "often"}, {"submit": 100}, {"sumbit": "1/min"}, ["1/min"], {"list": "5/x"}]
    for rates in cases:
        with subtests.test(rates=rates):
            settings.DJANGO_JOBS = {"THROTTLE_RATES": rates}
            assert ids(checked("E016")) == ["django_jobs.E016"]


def test_throttle_rates_of_the_rest_frameworks_form_are_fine(settings: Any) -> None:
    settings.DJANGO_JOBS = {"THROTTLE_RATES": {"submit": "100/min", "list": None, "metrics": "5/s"}}
    assert checked("E016") == []


def test_each_throttle_that_there_is_may_be_set(settings: Any) -> None:
    settings.DJANGO_JOBS = {"THROTTLE_RATES": dict.fromkeys(THROTTLE_RATES, "1/min")}
    assert checked("E016") == []


def test_what_is_no_origin_is_told(subtests: pytest.Subtests, settings: Any) -> None:
    cases: list[Any] = [["app.example.com"], ["https://app.example.com/"], "https://a.example", [1], ["*"]]
    for origins in cases:
        with subtests.test(origins=origins):
            settings.DJANGO_JOBS = {"WEBSOCKET_ORIGINS": origins}
            assert ids(checked("E017")) == ["django_jobs.E017"]


def test_whole_origins_are_fine(settings: Any) -> None:
    settings.DJANGO_JOBS = {
        "WEBSOCKET_ORIGINS": ("https://app.example.com", "https://*.example.com", "http://[::1]:8000")
    }
    assert checked("E017") == []


@pytest.mark.parametrize("value", ["set_aside", "run"])
def test_what_becomes_of_foreign_entries_is_said_in_one_of_two_words(settings: Any, value: str) -> None:
    settings.DJANGO_JOBS = {"FOREIGN_RQ_JOBS": value}
    assert checked("E018") == []


def test_one_text_of_sensitive_parameters_is_an_error(settings: Any) -> None:
    settings.DJANGO_JOBS = {"SENSITIVE_PARAMETERS": "password"}
    (message,) = checked("E021")
    assert message.id == "django_jobs.E021"
    assert message.hint is not None
    assert '("password",)' in message.hint


def test_names_of_sensitive_parameters_are_fine(subtests: pytest.Subtests, settings: Any) -> None:
    cases: list[Any] = [(), ("password",), ["a", "b"], {"token"}]
    for value in cases:
        with subtests.test(value=value):
            settings.DJANGO_JOBS = {"SENSITIVE_PARAMETERS": value}
            assert checked("E021") == []


def test_any_other_word_is_an_error(subtests: pytest.Subtests, settings: Any) -> None:
    cases: list[Any] = ["Run", "RUN", True, None, "", ["run"]]
    for value in cases:
        with subtests.test(value=value):
            settings.DJANGO_JOBS = {"FOREIGN_RQ_JOBS": value}
            (message,) = checked("E018")
            assert message.id == "django_jobs.E018"


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (True, "is no dict"),
        ({"lines": 3}, "unknown key 'lines'"),
        ({"level": "LOUD"}, "no level 'LOUD'"),
        ({"level": -1}, "no level -1"),
        ({"max_lines": 1}, "at least 2"),
        ({"max_bytes": "1 MB"}, "at least 2"),
    ],
)
def test_wrong_handler_logs_are_reported(settings: Any, value: Any, words: str) -> None:
    settings.DJANGO_JOBS = {"HANDLER_LOGS": value}
    (message,) = checked("E028", "W029")
    assert message.id == "django_jobs.E028"
    assert words in message.msg


@pytest.mark.parametrize("value", [None, {}, {"level": "ERROR", "max_lines": 10}, {"level": 40}])
def test_right_handler_logs_are_fine(settings: Any, monkeypatch: pytest.MonkeyPatch, value: Any) -> None:
    monkeypatch.setattr("logging.root.level", 20)
    settings.DJANGO_JOBS = {"HANDLER_LOGS": value}
    assert checked("E028", "W029") == []


def test_lines_that_the_hosts_logging_lets_not_through_are_warned_of(
    settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("logging.root.level", 30)
    settings.DJANGO_JOBS = {"HANDLER_LOGS": {"level": "INFO"}}
    assert ids(checked("E028", "W029")) == ["django_jobs.W029"]
