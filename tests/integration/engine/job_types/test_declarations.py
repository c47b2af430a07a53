"""Declared job types on their way into the database: made once, kept up to date, and never an administrator's loss."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.core.management import call_command
from django.db import connection
from django.db.migrations.loader import MigrationLoader
from django.test.utils import CaptureQueriesContext

from django_jobs import job_handler
from django_jobs.models import JobType
from django_jobs.statuses import Priority
from tests.support import handlers, verbs
from tests.support.factories import make_job_type
from tests.support.statements import before_statement


@pytest.fixture(autouse=True)
def no_types(db: None, nothing_declared: object) -> None:
    JobType.objects.all().delete()


def declare(function: Any = handlers.do_nothing, **fields: Any) -> None:
    """What the code declares from now on."""
    job_handler("bake", **fields)(function)


def sync() -> JobType:
    verbs.sync_declared_types(using="default")
    return JobType.objects.get(pk="bake")


def synced(**fields: Any) -> JobType:
    declare(**fields)
    return sync()


def test_a_missing_row_is_made_with_what_is_declared_and_the_defaults_of_the_rest() -> None:
    kind = synced(display_name="Bake", default_priority="High", max_retries=2, rate_limit=10, is_paused=True)
    assert (kind.display_name, kind.default_priority, kind.max_retries) == ("Bake", Priority.HIGH, 2)
    assert (kind.handler_method, kind.rate_limit, kind.is_paused) == ("tests.support.handlers.do_nothing", 10, True)
    assert (kind.default_timeout, kind.retry_delay, kind.description, kind.is_enabled) == (300, 60, "", True)
    kind.full_clean()


def test_defaults_are_the_hosts(settings: Any) -> None:
    settings.DJANGO_JOBS = {**settings.DJANGO_JOBS, "DEFAULT_TIMEOUT": 77}
    assert synced().default_timeout == 77


def test_migrating_brings_declarations_into_the_database() -> None:
    declare(max_retries=2)
    call_command("migrate", verbosity=0)
    assert JobType.objects.get(pk="bake").max_retries == 2


def test_what_the_code_changes_is_changed(nothing_declared: Callable[[], None]) -> None:
    synced(max_retries=2, display_name="Bake")
    nothing_declared()
    kind = synced(max_retries=3, display_name="Bake", function=handlers.echo, default_priority="Low")
    assert (kind.max_retries, kind.handler_method) == (3, "tests.support.handlers.echo")
    assert (kind.display_name, kind.default_priority) == ("Bake", Priority.LOW)


def test_what_the_code_says_no_more_goes_back_to_the_default() -> None:
    synced(max_retries=2)
    assert synced().max_retries == 5


def test_what_an_administrator_changed_stays_and_the_rest_follows_the_code() -> None:
    synced(max_retries=2, retry_delay=10, is_paused=False)
    JobType.objects.update(max_retries=9, is_paused=True)
    kind = synced(max_retries=3, retry_delay=20, is_paused=False)
    assert (kind.max_retries, kind.is_paused, kind.retry_delay) == (9, True, 20)


def test_an_administrators_value_stays_however_often_the_code_changes() -> None:
    synced(max_retries=2)
    JobType.objects.update(max_retries=9)
    synced(max_retries=3)
    assert synced(max_retries=4).max_retries == 9


def test_a_field_that_is_what_the_code_says_again_follows_the_code_again() -> None:
    synced(max_retries=2)
    JobType.objects.update(max_retries=9)
    synced(max_retries=3)
    JobType.objects.update(max_retries=3)
    assert synced(max_retries=4).max_retries == 4


def test_a_field_that_the_code_names_later_is_updated_if_nobody_touched_it() -> None:
    synced()
    assert synced(rate_limit=7, description="Loaves").rate_limit == 7


def test_limits_follow_the_code_until_an_administrator_changes_them() -> None:
    synced(max_running=5, concurrency_key="customer", retention_days=7)
    JobType.objects.update(max_running=9)
    kind = synced(max_running=6, concurrency_key="region")
    assert (kind.max_running, kind.concurrency_key, kind.retention_days) == (9, "region", None)
    assert kind.keyed_by == "customer"


def test_a_row_that_was_there_before_its_declaration_keeps_what_somebody_chose() -> None:
    make_job_type("echo", type_name="bake", max_retries=9)
    kind = synced(max_retries=3, retry_delay=20)
    assert (kind.max_retries, kind.retry_delay, kind.handler_method) == (9, 20, "tests.support.handlers.echo")
    assert kind.declared is not None
    assert kind.declared["max_retries"] == 3


def test_doing_it_again_writes_nothing() -> None:
    synced(max_retries=2)
    with CaptureQueriesContext(connection) as queries:
        verbs.sync_declared_types(using="default")
    assert [query["sql"] for query in queries if query["sql"].startswith(("INSERT", "UPDATE", "DELETE"))] == []


def test_a_row_that_only_remembers_more_of_the_code_is_not_said_to_be_updated(
    caplog: pytest.LogCaptureFixture,
) -> None:
    synced(description="Loaves")
    caplog.set_level("INFO", "django_jobs")
    JobType.objects.update(max_retries=9)
    kind = synced(description="Loaves", max_retries=9)
    assert kind.declared is not None
    assert kind.declared["max_retries"] == 9
    assert [record.getMessage() for record in caplog.records if "job_type_updated" in record.getMessage()] == []
    synced(description="Buns", max_retries=9)
    assert "event=job_type_updated job_type=bake fields=description" in caplog.messages


def test_another_process_may_make_the_row_first() -> None:
    declare(max_retries=2)
    with before_statement("INSERT", JobType, lambda: make_job_type("echo", type_name="bake")):
        assert sync().handler_method == "tests.support.handlers.echo"


def test_an_administrator_may_save_in_the_middle() -> None:
    synced(max_retries=2, retry_delay=10)
    declare(max_retries=3, retry_delay=20)
    with before_statement("UPDATE", JobType, lambda: JobType.objects.update(max_retries=9)):
        kind = sync()
    assert (kind.max_retries, kind.retry_delay) == (9, 20)


def test_a_row_that_is_deleted_in_the_middle_is_no_trouble() -> None:
    synced(max_retries=2)
    declare(max_retries=3)
    with before_statement("UPDATE", JobType, JobType.objects.all().delete):
        verbs.sync_declared_types(using="default")
    assert not JobType.objects.exists()


def test_a_type_that_the_code_declares_no_more_keeps_its_row_and_is_told(
    caplog: pytest.LogCaptureFixture, nothing_declared: Callable[[], None]
) -> None:
    synced(max_retries=2)
    nothing_declared()
    with caplog.at_level(logging.WARNING, "django_jobs"):
        kind = sync()
    assert (kind.max_retries, kind.is_enabled) == (2, True)
    assert "event=job_type_no_longer_declared job_type=bake" in caplog.text


@pytest.mark.parametrize("declared", [True, False])
def test_a_type_that_is_disabled_or_was_never_declared_is_not_told(
    caplog: pytest.LogCaptureFixture, declared: bool
) -> None:
    make_job_type(type_name="bake", is_enabled=not declared, declared={} if declared else None)
    with caplog.at_level(logging.WARNING, "django_jobs"):
        sync()
    assert "job_type_no_longer_declared" not in caplog.text


def test_a_wrong_declaration_stops_the_migration_with_its_place() -> None:
    declare(default_priority="urgent")
    with pytest.raises(ImproperlyConfigured, match=r"bake \(tests\.support\.handlers\.do_nothing .*'urgent'"):
        sync()


def test_two_declarations_of_one_type_stop_the_migration() -> None:
    declare()
    job_handler("bake")(handlers.echo)
    with pytest.raises(ImproperlyConfigured, match=r"bake .*do_nothing.* .*echo"):
        sync()


class OtherDatabaseOnly:
    """Keeps job types out of the default database."""

    def allow_migrate(self, db: str, app_label: str, model_name: str | None = None, **hints: Any) -> bool | None:
        return False if (db, model_name) == ("default", "jobtype") else None


def test_a_database_that_holds_no_job_types_is_left_alone(settings: Any) -> None:
    settings.DATABASE_ROUTERS = [OtherDatabaseOnly()]
    declare()
    verbs.sync_declared_types(using="default")
    assert not JobType.objects.exists()


def test_a_state_without_job_types_is_left_alone() -> None:
    declare()
    before = MigrationLoader(connection).project_state(at_end=False, nodes=[]).apps
    verbs.sync_declared_types(using="default", apps=before)
    assert not JobType.objects.exists()


def test_a_table_that_is_missing_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    declare()
    monkeypatch.setattr(connection.introspection, "table_names", list)
    verbs.sync_declared_types(using="default")
    assert not JobType.objects.exists()


def test_the_migrations_own_model_is_used() -> None:
    declare(max_retries=2)
    state = MigrationLoader(connection).project_state()
    verbs.sync_declared_types(using="default", apps=state.apps)
    assert JobType.objects.get(pk="bake").max_retries == 2


def test_a_table_that_lacks_a_field_of_this_release_is_left_alone() -> None:
    declare()
    state = MigrationLoader(connection).project_state()
    state.remove_field("django_jobs", "jobtype", "pool")
    verbs.sync_declared_types(using="default", apps=state.apps)
    assert not JobType.objects.exists()


def test_a_declared_type_is_closed_to_users_until_its_code_or_an_administrator_says_otherwise() -> None:
    assert synced().submit_by == "code"
    assert synced(submit_by="members").submit_by == "members"
    assert synced().submit_by == "code"
    JobType.objects.update(submit_by="admins")
    assert synced(max_retries=1).submit_by == "admins"
    assert make_job_type().submit_by == "members"


def test_a_field_that_the_code_declares_for_the_first_time_follows_it() -> None:
    kind = synced()
    before = {name: value for name, value in (kind.declared or {}).items() if name != "submit_by"}
    JobType.objects.update(declared=before, submit_by="members")
    assert synced().submit_by == "code"


def test_an_unknown_submit_by_is_a_mistake_that_a_check_tells() -> None:
    declare(submit_by="everybody")
    (declaration,) = verbs.declared_handlers()
    (problem,) = verbs.declaration_problems(declaration)
    assert (problem.code, problem.values["field"]) == ("invalid_choice", "submit_by")  # type: ignore[attr-defined]
