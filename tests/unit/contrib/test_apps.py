"""What is asked for and not installed is told with its extra."""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import ModuleType

import pytest
from django.apps import AppConfig
from django.core.exceptions import ImproperlyConfigured

import django_jobs.contrib.opentelemetry
import django_jobs.contrib.sentry
from django_jobs.apps import DjangoJobsConfig
from django_jobs.contrib.opentelemetry.apps import OpenTelemetryConfig
from django_jobs.contrib.sentry.apps import SentryConfig
from tests.support import verbs

Make = Callable[[str, object], AppConfig]


@pytest.mark.parametrize(
    ("make", "package", "module", "words"),
    [
        (OpenTelemetryConfig, django_jobs.contrib.opentelemetry, "tracing", "pip install 'django-durable-jobs\\[open"),
        (SentryConfig, django_jobs.contrib.sentry, "events", "pip install --upgrade sentry-sdk"),
    ],
)
def test_a_missing_library_is_told_with_what_to_do(
    make: Make, package: object, module: str, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = package.__name__  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, f"{name}.{module}", None)
    monkeypatch.delattr(package, module, raising=False)
    with pytest.raises(ImproperlyConfigured, match=words):
        make(name, package).ready()


def test_a_project_with_an_old_sentry_starts_and_is_told(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setitem(sys.modules, "sentry_sdk", ModuleType("sentry_sdk"))
    monkeypatch.delitem(sys.modules, "django_jobs.contrib.sentry.events", raising=False)
    monkeypatch.delattr(django_jobs.contrib.sentry, "events", raising=False)
    before = verbs.all_observers()
    DjangoJobsConfig._tell_sentry()
    assert verbs.all_observers() == before
    assert "needed=sentry-sdk>=2.0" in caplog.text
