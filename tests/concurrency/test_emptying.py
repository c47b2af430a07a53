"""Between two tests the database is emptied, of few rows and of many in ways that differ."""

from __future__ import annotations

import pytest
from django.apps import apps
from django.core.management import call_command

from tests.support import databases
from tests.support.brokers import running_job
from tests.support.factories import make_user

pytestmark = pytest.mark.usefixtures("broker")


@pytest.mark.parametrize("few", [0, databases.FEW_ROWS])
def test_nothing_is_left(monkeypatch: pytest.MonkeyPatch, few: int) -> None:
    job, _ = running_job()
    make_user(member_of=[job.organization])
    monkeypatch.setattr(databases, "FEW_ROWS", few)
    options = {"reset_sequences": False, "allow_cascade": False, "inhibit_post_migrate": True}
    call_command("flush", verbosity=0, interactive=False, **options)
    models = [model for model in apps.get_models(include_auto_created=True) if model._meta.managed]
    assert {model._meta.label: model._base_manager.count() for model in models} == {
        model._meta.label: 0 for model in models
    }
