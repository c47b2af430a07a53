"""Declaring job types beside their functions: what is noted, what is refused, and where declarations are found."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from rest_framework import serializers

from django_jobs import job_handler
from django_jobs.engine.job_types import types
from tests.support import handlers, verbs
from tests.support.checks import checked
from tests.unit.test_face import python


class Order(serializers.Serializer[Any]):
    loaves = serializers.IntegerField()
    baker = serializers.HiddenField(default="Zoë")


class Orders(serializers.ListSerializer[Any]):
    child = Order()


pytestmark = pytest.mark.usefixtures("nothing_declared")


@pytest.fixture
def bakery(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, settings: Any) -> Iterator[Path]:
    """The folder of an installed app that has no code yet."""
    folder = tmp_path / "bakery"
    folder.mkdir()
    (folder / "__init__.py").write_text("")
    monkeypatch.syspath_prepend(tmp_path)
    settings.INSTALLED_APPS = [*settings.INSTALLED_APPS, "bakery"]
    yield folder
    for name in [name for name in sys.modules if name.partition(".")[0] == "bakery"]:
        del sys.modules[name]


def write_handler(path: Path, type_name: str) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_text(
        f"from django_jobs import job_handler\n\n@job_handler({type_name!r})\ndef bake(context):\n    pass\n"
    )


def names() -> list[str]:
    return [item.type_name for item in verbs.declared_handlers()]


def test_the_function_is_returned_as_it_is() -> None:
    assert job_handler("bake")(handlers.do_nothing) is handlers.do_nothing


def test_a_declaration_notes_the_function_and_what_is_said_of_the_type() -> None:
    job_handler("bake", parameters=Order, display_name="Bake", default_priority="High")(handlers.do_nothing)
    found = types.declaration_of("bake")
    assert found is not None
    assert (found.path, found.serializer) == ("tests.support.handlers.do_nothing", Order)
    assert found.fields == {"display_name": "Bake", "default_priority": "High"}


def test_declaring_needs_neither_settings_nor_the_app_registry() -> None:
    code = (
        "import sys; from django_jobs import job_handler\n"
        "@job_handler('bake', default_priority='High')\n"
        "def bake(context): pass\n"
        "print(bake.__name__, {'django_jobs.models', 'rest_framework'} & set(sys.modules))"
    )
    assert python(code) == "bake set()"


@pytest.mark.parametrize("field", types.DECLARED_FIELDS)
def test_every_field_of_a_job_type_can_be_declared(field: str) -> None:
    values: dict[str, Any] = {field: 1}
    job_handler("bake", **values)(handlers.do_nothing)
    found = types.declaration_of("bake")
    assert found is not None
    assert found.fields == {field: 1}


def test_an_unknown_keyword_is_refused_at_once_with_the_known_ones() -> None:
    with pytest.raises(TypeError, match=r"'bake'.* default_time_out.* default_timeout"):
        job_handler("bake", default_time_out=3)  # type: ignore[call-arg]


def test_the_parentheses_must_not_be_forgotten() -> None:
    with pytest.raises(TypeError, match="@job_handler"):
        job_handler(handlers.do_nothing)  # type: ignore[arg-type]


def test_only_a_function_can_be_declared(subtests: pytest.Subtests) -> None:
    cases: list[Any] = [int, partial(handlers.do_nothing), "text"]
    for thing in cases:
        with subtests.test(thing=thing), pytest.raises(TypeError, match=r"@job_handler\('bake'\)"):
            job_handler("bake")(thing)


def test_an_unknown_type_has_no_declaration() -> None:
    assert types.declaration_of("bake") is None


def test_a_good_declaration_is_no_problem() -> None:
    job_handler("bake", parameters=Order, default_priority="critical", rate_limit=None)(handlers.do_nothing)
    assert checked("E007") == checked("E006") == []


def test_limits_are_declared_as_they_are() -> None:
    limits: Any = {
        "pool": "default",
        "max_running": 10,
        "max_running_per_organization": 20,
        "concurrency_key": "loaves",
        "max_running_per_key": 2,
        "max_starts": None,
        "max_starts_per_key": 5,
        "max_starts_window": 3600,
        "breaker_failures": 20,
        "breaker_pause": 30,
        "retention_days": 365,
    }
    job_handler("bake", parameters=Order, **limits)(handlers.do_nothing)
    assert checked("E007") == checked("W026") == []


def test_a_pool_that_the_settings_lack_is_a_warning_since_other_types_go_on(settings: Any) -> None:
    job_handler("bake", pool="ovens")(handlers.do_nothing)
    (message,) = checked("W026")
    assert (message.id, checked("E007")) == ("django_jobs.W026", [])
    assert (said(message), "'ovens'" in message.msg) == (("pool", "unknown_pool"), True)
    settings.DJANGO_JOBS = {**settings.DJANGO_JOBS, "POOLS": {"ovens": {}}}
    assert checked("W026") == []


def said(message: Any) -> tuple[str, str]:
    """Which field a check complains of, and the code of what is wrong with it."""
    return message.msg.values["text"].values["field"], message.msg.code


@pytest.mark.parametrize(
    ("fields", "field", "code"),
    [
        ({"default_priority": "urgent"}, "default_priority", "invalid_choice"),
        ({"default_priority": None}, "default_priority", "null"),
        ({"default_timeout": 0}, "default_timeout", "min_value"),
        ({"default_timeout": "long"}, "default_timeout", "invalid"),
        ({"max_retries": -1}, "max_retries", "min_value"),
        ({"is_enabled": "perhaps"}, "is_enabled", "invalid"),
        ({"display_name": "x" * 300}, "display_name", "max_length"),
        ({"rate_limit_window": []}, "rate_limit_window", "invalid"),
        ({"max_running": 0}, "max_running", "min_value"),
        ({"max_starts": 0}, "max_starts", "min_value"),
        ({"max_running_per_key": 0}, "max_running_per_key", "min_value"),
        ({"max_starts_per_key": 5}, "max_starts_per_key", "needs_key"),
        ({"concurrency_key": "order.customer"}, "concurrency_key", "invalid"),
        ({"concurrency_key": 7.5j}, "concurrency_key", "invalid"),
        ({"concurrency_key": "buns", "parameters": Order}, "concurrency_key", "unknown_parameter"),
        ({"concurrency_key": "baker", "parameters": Order}, "concurrency_key", "unknown_parameter"),
        ({"breaker_failures": -1}, "breaker_failures", "min_value"),
        ({"retention_days": 0}, "retention_days", "min_value"),
        ({"parameters": int}, "parameters", "not_a_serializer"),
        ({"parameters": Order(data={})}, "parameters", "not_a_serializer"),
        ({"parameters": Orders}, "parameters", "a_list"),
    ],
    ids=str,
)
def test_a_wrong_value_is_an_error_that_names_the_field(fields: Any, field: str, code: str) -> None:
    job_handler("bake", **fields)(handlers.do_nothing)
    (message,) = checked("E007")
    assert message.id == "django_jobs.E007"
    assert said(message) == (field, code)
    assert "tests.support.handlers.do_nothing" in message.msg


@pytest.mark.parametrize("name", ["", "1st", "über", "a b", "x" * 101])
def test_a_wrong_name_is_an_error(name: str) -> None:
    job_handler(name)(handlers.do_nothing)
    (message,) = checked("E007")
    assert said(message)[0] == "type_name"


def test_a_function_that_no_path_leads_to_is_an_error() -> None:
    @job_handler("bake")
    def inner(context: Any) -> None:
        """Lies inside of another function."""

    (message,) = checked("E007")
    assert "<locals>" in message.msg


def test_a_function_outside_the_allowed_modules_is_an_error() -> None:
    job_handler("bake")(names)
    (message,) = checked("E007")
    assert (message.id, message.msg.code) == ("django_jobs.E007", "handler_not_allowed")  # type: ignore[attr-defined]


def test_two_functions_of_one_type_are_an_error_that_names_both() -> None:
    job_handler("bake")(handlers.do_nothing)
    job_handler("bake")(handlers.echo)
    (message,) = checked("E006")
    assert message.id == "django_jobs.E006"
    assert ["handlers.do_nothing (" in message.msg, "handlers.echo (" in message.msg] == [True, True]


def test_the_same_function_declared_again_is_no_error() -> None:
    job_handler("bake")(handlers.do_nothing)
    job_handler("bake", max_retries=1)(handlers.do_nothing)
    found = types.declaration_of("bake")
    assert found is not None
    assert (checked("E006"), found.fields) == ([], {"max_retries": 1})


def test_a_jobs_module_of_an_installed_app_is_found(bakery: Path) -> None:
    write_handler(bakery / "jobs.py", "bake")
    verbs.discover_handlers()
    assert names() == ["bake"]
    assert checked("E007") == []


def test_the_modules_of_a_jobs_package_are_found_at_any_depth(bakery: Path) -> None:
    write_handler(bakery / "jobs" / "__init__.py", "bake")
    write_handler(bakery / "jobs" / "bread.py", "bake_bread")
    (bakery / "jobs" / "sweet").mkdir()
    write_handler(bakery / "jobs" / "sweet" / "__init__.py", "bake_sweet")
    write_handler(bakery / "jobs" / "sweet" / "cake.py", "bake_cake")
    verbs.discover_handlers()
    assert names() == ["bake", "bake_bread", "bake_cake", "bake_sweet"]
    assert checked("E007") == []


@pytest.mark.parametrize("name", ["tests.py", "test_bread.py", "conftest.py", "__main__.py"])
def test_the_tests_in_a_jobs_package_are_not_imported(bakery: Path, name: str) -> None:
    write_handler(bakery / "jobs" / "__init__.py", "bake")
    (bakery / "jobs" / name).write_text("raise AssertionError")
    verbs.discover_handlers()
    assert names() == ["bake"]


def test_an_app_without_a_jobs_module_is_fine(bakery: Path) -> None:
    verbs.discover_handlers()
    assert names() == []


@pytest.mark.parametrize("name", ["jobs.py", "jobs/__init__.py", "jobs/bread.py"])
@pytest.mark.parametrize("code", ["import nonesuch", "1 / 0"])
def test_a_jobs_module_that_fails_to_be_imported_says_so(bakery: Path, name: str, code: str) -> None:
    (bakery / name).parent.mkdir(exist_ok=True)
    (bakery / name).with_name("__init__.py").touch()
    (bakery / name).write_text(code)
    with pytest.raises((ModuleNotFoundError, ZeroDivisionError)):
        verbs.discover_handlers()


def test_what_is_called_jobs_but_is_no_module_is_left_alone(bakery: Path) -> None:
    sys.modules["bakery"].jobs = "many"  # type: ignore[attr-defined]
    verbs.discover_handlers()
    assert names() == []


def test_a_list_of_handler_modules_is_fine(subtests: pytest.Subtests, settings: Any) -> None:
    cases: list[Any] = [(), ("billing.tasks",), ["billing.tasks"]]
    for modules in cases:
        with subtests.test(modules=modules):
            settings.DJANGO_JOBS = {"HANDLER_MODULES": modules}
            assert checked("E005") == []


def test_what_is_no_list_of_names_is_an_error(subtests: pytest.Subtests, settings: Any) -> None:
    cases: list[Any] = ["billing.tasks", None, [handlers]]
    for modules in cases:
        with subtests.test(modules=modules):
            settings.DJANGO_JOBS = {"HANDLER_MODULES": modules}
            assert [message.id for message in checked("E005")] == ["django_jobs.E005"]
