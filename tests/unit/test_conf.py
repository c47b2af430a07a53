"""Settings: defaults, read live."""

from __future__ import annotations

from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.test import override_settings

from django_jobs.conf import DEFAULTS, jobs_settings, organization_model_name, output_storage

CONTRACT = {
    "ACCESS_POLICY": None,
    "ORGANIZATION_ID_FIELD": "name",
    "HANDLER_MODULES": (),
    "QUEUES": {"Critical": "jobs-critical", "High": "jobs-high", "Normal": "jobs-normal", "Low": "jobs-low"},
    "POOLS": {},
    "ALERTS": {},
    "DEFAULT_TIMEOUT": 300,
    "MAX_RETRIES": 5,
    "RETRY_DELAY": 60,
    "RETRY_JITTER": 0.2,
    "MAX_RETRY_AFTER": 3600,
    "DEDUPLICATION_WINDOW": 300,
    "RETENTION_DAYS": 30,
    "LEASE_SECONDS": 30,
    "SCHEDULER_INTERVAL": 1.0,
    "PROGRESS_INTERVAL": 0.5,
    "CANCEL_GRACE_SECONDS": 10,
    "POLICY_SECONDS": 5,
    "MAX_SCHEDULES_PER_ORGANIZATION": 1_000,
    "MIN_SCHEDULE_SECONDS": 10,
    "SHUTDOWN_GRACE_SECONDS": 25,
    "MAX_IN_FLIGHT_PER_ORGANIZATION": 100,
    "MAX_BACKLOG_PER_ORGANIZATION": None,
    "MAX_PARAMETERS_BYTES": 65536,
    "MAX_RESULT_BYTES": 1048576,
    "FOREIGN_RQ_JOBS": "set_aside",
    "SYSTEM_ORGANIZATION": None,
    "OUTPUT_STORAGE": "default",
    "SENSITIVE_PARAMETERS": (),
    "SHOW_ERROR_TEXT": False,
    "HANDLER_LOGS": None,
    "METRICS_ORGANIZATIONS": 0,
    "METRICS_TOKEN": "",
    "WEBSOCKET_ORIGINS": (),
}


@override_settings(DJANGO_JOBS={})
def test_a_setting_that_the_host_leaves_out_has_the_contracts_default(subtests: pytest.Subtests) -> None:
    for name, value in CONTRACT.items():
        with subtests.test(name=name, value=value):
            assert getattr(jobs_settings, name) == value


def test_the_contract_and_the_code_know_the_same_settings() -> None:
    assert set(DEFAULTS) == {*CONTRACT, "METHOD_PREFIX", "THROTTLE_RATES"}


def test_a_host_need_not_set_anything(settings: Any) -> None:
    del settings.DJANGO_JOBS
    assert jobs_settings.MAX_RETRIES == 5


def test_settings_are_read_live() -> None:
    with override_settings(DJANGO_JOBS={"MAX_RETRIES": 9}):
        assert jobs_settings.MAX_RETRIES == 9
    assert jobs_settings.MAX_RETRIES == 5


def test_an_unknown_setting_is_an_error_that_names_it() -> None:
    with pytest.raises(AttributeError, match="MAX_RETIRES"):
        _ = jobs_settings.MAX_RETIRES


def test_the_tenant_is_the_built_in_organization_unless_the_host_says_otherwise(settings: Any) -> None:
    del settings.DJANGO_JOBS_ORGANIZATION_MODEL
    assert organization_model_name() == "django_jobs.Organization"
    settings.DJANGO_JOBS_ORGANIZATION_MODEL = "shop.Company"
    assert organization_model_name() == "shop.Company"


def test_outputs_go_to_the_storage_that_the_host_names(settings: Any) -> None:
    settings.STORAGES = {
        **settings.STORAGES,
        "private": {"BACKEND": "django.core.files.storage.InMemoryStorage", "OPTIONS": {"base_url": "/private/"}},
    }
    settings.DJANGO_JOBS = {"OUTPUT_STORAGE": "private"}
    assert output_storage().base_url == "/private/"


def test_settings_that_are_no_dict_are_refused_by_name(subtests: pytest.Subtests) -> None:
    cases: list[object] = ["MAX_RETRIES=3", None, [("MAX_RETRIES", 3)]]
    for wrong in cases:
        with (
            subtests.test(wrong=wrong),
            override_settings(DJANGO_JOBS=wrong),
            pytest.raises(ImproperlyConfigured, match="DJANGO_JOBS"),
        ):
            jobs_settings.MAX_RETRIES  # noqa: B018
