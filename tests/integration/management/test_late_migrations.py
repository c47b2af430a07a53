"""Code whose newest migration the database has not had: somebody forgot to migrate, or left it for later."""

from __future__ import annotations

import io
import re
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command
from django.db import ProgrammingError, connection
from django.db.migrations.recorder import MigrationRecorder

from django_jobs import migrations
from tests.support import verbs
from tests.support.verbs import Supervisor, WorkerOptions

pytestmark = pytest.mark.usefixtures("redis_broker")


@pytest.fixture
def late_migration(db: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A migration that the database has not had."""
    (tmp_path / "0002_later.py").touch()
    monkeypatch.setattr(migrations, "__path__", [*migrations.__path__, str(tmp_path)])
    return "0002_later"


@pytest.fixture
def old_tables(late_migration: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """Tables as that migration found them: each seems to have a column less."""
    describe = connection.introspection.get_table_description
    monkeypatch.setattr(connection.introspection, "get_table_description", lambda *of: describe(*of)[:-1])
    return late_migration


def finding() -> tuple[str, str, str] | None:
    """What ``jobs_check`` says of the tables, and of which migration."""
    found = next((item for item in verbs.examine() if item.subject == "schema"), None)
    return None if found is None else (found.level, found.code, found.facts["migration"])


def test_tables_of_this_release_lack_nothing(sound: None) -> None:
    assert finding() is None
    assert not verbs.lacks_columns()


def test_the_check_names_what_is_to_be_migrated(sound: None, old_tables: str) -> None:
    assert finding() == ("PROBLEM", "migration_missing", old_tables)


def test_a_migration_that_adds_no_column_may_be_late(
    sound: None, late_migration: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As one that drops an index which workers of the release before still use."""
    assert finding() == ("WARNING", "migration_missing", late_migration)
    started: list[WorkerOptions] = []
    monkeypatch.setattr(Supervisor, "run", lambda self: started.append(self.options))
    call_command("jobs_worker", stdout=io.StringIO())
    assert len(started) == 1


def test_of_several_that_are_late_the_first_is_named_and_the_others_are_counted(
    sound: None, tmp_path: Path, old_tables: str
) -> None:
    for number in (3, 4):
        (tmp_path / f"000{number}_more.py").touch()
    (facts,) = (item.facts for item in verbs.examine() if item.subject == "schema")
    assert (facts["migration"], re.findall(r"\d+", facts["more"])) == (old_tables, ["2"])


@pytest.mark.parametrize("command", ["jobs_worker", "jobs_scheduler"])
def test_what_runs_jobs_leaves_and_says_so(old_tables: str, command: str) -> None:
    """It waited for columns that nobody made, as if the database were away."""
    with pytest.raises(CommandError, match=rf" django_jobs {old_tables}\b.*`manage\.py migrate`") as caught:
        call_command(command)
    assert verbs.code_of(caught.value.args[0]) == "migration_missing"


def test_a_table_that_is_not_there_is_lacked_too(db: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection.introspection, "table_names", lambda *of: [])
    assert verbs.lacks_columns()


def test_tables_that_were_made_without_migrations_are_not_judged(db: None) -> None:
    MigrationRecorder.Migration.objects.filter(app="django_jobs").delete()
    assert verbs.unapplied_migrations() == []


def test_a_role_that_may_not_read_the_migrations_is_not_hindered(db: None, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(recorder: MigrationRecorder) -> None:
        raise ProgrammingError("permission denied for table django_migrations")

    monkeypatch.setattr(MigrationRecorder, "applied_migrations", refuse)
    assert verbs.unapplied_migrations() == []
