"""docs/reference.md against the code: signatures, fields, errors, signals, and its examples."""

from __future__ import annotations

import dataclasses
import inspect
import re
from typing import Any

import pytest
from django.db import models
from django.dispatch import Signal

import django_jobs
from django_jobs import JobContext, JobStatus, exceptions, signals, testing
from django_jobs.models import ExecutionLog, Job, JobType
from django_jobs.testing import make_context
from tests.support.documents import DOCS, run_examples
from tests.support.factories import make_job_type, make_organization

TEXT = (DOCS / "reference.md").read_text()
FUNCTIONS = [name for name in django_jobs.__all__ if inspect.isroutine(getattr(django_jobs, name))]
#: Errors that no caller sees, and the common bases.
WORKERS_OWN = {"WorkerStopping", "BrokerUnavailable", "WorkersSuspended", "ForeignBroker"}
INTERNAL = {"RetryableRefusal", "InvalidValues", "Interruption", "AttemptLost"} | WORKERS_OWN
#: Members of a context that are kept for the engine, and what one for tests notes.
NOT_FOR_HANDLERS = {"interruptible", "remind", "has_saved", "unsaved_checkpoint", "progress", "outputs", "submitted"}


def signature(name: str, function: Any) -> str:
    """How the page writes it: names and defaults."""
    plain = [
        parameter.replace(annotation=inspect.Parameter.empty)
        for parameter in inspect.signature(function).parameters.values()
    ]
    shown = str(inspect.Signature(plain)).replace("'", '"')
    return f"{name}{shown}"


def table(heading: str) -> str:
    """The section below this heading."""
    return TEXT.partition(f"\n### {heading}\n")[2].partition("\n## ")[0].partition("\n### ")[0]


def listed_in(section: str) -> list[str]:
    """What stands in the first column of its tables, in order."""
    rows = re.findall(r"^\| (`[^|]*) \|", section, re.MULTILINE)
    return [name for row in rows for name in re.findall(r"`(\w+)", row)]


def names_in(section: str) -> set[str]:
    """The same as a set."""
    return set(listed_in(section))


def fields_of(model: type[models.Model]) -> set[str]:
    """Those that people are told of: the others are the engine's own."""
    found = [*model._meta.concrete_fields, *model._meta.many_to_many]
    return {field.name for field in found if field.editable or field.name == "run_after"}


@pytest.mark.parametrize("name", sorted({*FUNCTIONS} - {"get_organization_model"}))
def test_every_function_stands_there_with_its_arguments(name: str) -> None:
    assert f"\n{signature(name, getattr(django_jobs, name))}\n" in TEXT


def test_every_argument_of_a_submission_is_explained() -> None:
    section = TEXT.partition("\n## Submitting\n")[2].partition("\n## ")[0]
    assert names_in(section) == set(inspect.signature(django_jobs.submit_job).parameters)


@pytest.mark.parametrize("name", ["run_jobs", "captured_jobs", "make_context", "fire_schedules"])
def test_what_helps_in_tests_stands_there_too(name: str) -> None:
    assert f"\n{signature(name, getattr(testing, name))}\n" in TEXT


def test_every_public_name_is_named() -> None:
    assert [name for name in django_jobs.__all__ if f"`{name}" not in TEXT and f"\n{name}(" not in TEXT] == []


def test_the_fields_of_a_status_are_all_there_in_their_order_and_no_others() -> None:
    assert listed_in(table("`JobStatus`")) == [field.name for field in dataclasses.fields(JobStatus)]


@pytest.mark.parametrize(
    ("heading", "model", "more"),
    [
        ("Job", Job, {"name", "dependents"}),
        ("Job Type", JobType, set()),
        ("Execution Log", ExecutionLog, set()),
    ],
)
def test_the_fields_of_a_model_are_all_there_and_no_others(
    heading: str, model: type[models.Model], more: set[str]
) -> None:
    assert names_in(table(heading)) - more == fields_of(model)


def test_every_error_is_there_with_its_facts() -> None:
    classes = [found for found in vars(exceptions).values() if inspect.isclass(found)]
    public = {found.__name__ for found in classes if found.__module__ == exceptions.__name__} - INTERNAL
    rows = dict(re.findall(r"^\| `(\w+)` \| [^|]* \| ([^|]*)\|", TEXT, re.MULTILINE))
    assert public - rows.keys() == set()
    for name in public:
        told = set(re.findall(r"`(\w+)`", rows[name])) - {"JobStatus", "Job"}
        arguments = set(inspect.signature(getattr(exceptions, name).__init__).parameters)
        assert told <= arguments | {"by_index", "index"}, name


def test_every_signal_is_there_with_its_arguments() -> None:
    sent = {name for name, found in vars(signals).items() if isinstance(found, Signal)}
    rows = dict(re.findall(r"^\| `(\w+)` \| [^|]* \| (`sender=[^|]*)\|", TEXT, re.MULTILINE))
    assert rows.keys() == sent
    assert all("`status`" in arguments for arguments in rows.values() if "`sender=Job`" in arguments)


def test_every_member_of_a_handlers_context_is_told() -> None:
    page = (DOCS / "handlers.md").read_text().partition("\n## The context\n")[2].partition("\n## ")[0]
    context = make_context()
    for_tests = set(dir(type(context))) - set(dir(JobContext))
    members = {name for name in dir(context) if not name.startswith("_")} - for_tests - NOT_FOR_HANDLERS
    assert names_in(page) == members


@pytest.mark.django_db(transaction=True)
def test_the_examples_run_in_their_order(broker: object) -> None:
    make_organization(name="ORG-2026-00001")
    make_job_type(type_name="send_letter")
    names = run_examples("reference.md", {"__name__": __name__})
    signals.job_finished.disconnect(names["tell_the_office"], sender=Job, dispatch_uid="tell_the_office")
