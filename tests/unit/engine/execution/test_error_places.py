"""The place of an exception: module and function of the deepest frame that is the host's own code."""

from __future__ import annotations

import sysconfig
from collections.abc import Callable
from typing import Any, Final

import pytest

from django_jobs.engine.execution.outcomes import place_of

STANDARD: Final = f"{sysconfig.get_path('stdlib')}/json/decoder.py"
LIBRARY: Final = "/venv/lib/python3.13/site-packages/requests/api.py"
PROJECT: Final = "/srv/releases/17/shop/mailing.py"


def function(module: str, path: str, name: str, inner: Callable[[], None] | None = None, lines: int = 0) -> Any:
    """A function of this module and file, which calls the inner one, or raises a KeyError if there is none."""
    body = "inner()" if inner else "raise KeyError('tax')"
    namespace: dict[str, Any] = {"__name__": module, "inner": inner}
    exec(compile("\n" * lines + f"def {name}():\n    {body}", path, "exec"), namespace)
    return namespace[name]


def error_of(handler: Callable[[], None]) -> BaseException:
    """What the handler raises, as the engine catches it."""
    engine = function("django_jobs.engine.execution.run", "/x/django_jobs/handler_run.py", "_call", handler)
    with pytest.raises(KeyError) as caught:
        engine()
    # The frame of this test does not belong to a handler's way.
    assert caught.value.__traceback__ is not None
    return caught.value.with_traceback(caught.value.__traceback__.tb_next)


def test_it_is_the_function_that_raised() -> None:
    helper = function("shop.prices", PROJECT, "look_up")
    assert place_of(error_of(function("shop.jobs", PROJECT, "send", helper))) == "shop.prices.look_up"


def test_libraries_that_the_host_calls_do_not_count() -> None:
    for path in (STANDARD, LIBRARY):
        library = function("requests.api", path, "get")
        assert place_of(error_of(function("shop.jobs", PROJECT, "send", library))) == "shop.jobs.send"


def test_the_engine_that_a_handler_calls_does_not_count() -> None:
    engine = function("django_jobs.engine.execution.context", "/x/django_jobs/context.py", "save")
    assert place_of(error_of(function("shop.jobs", PROJECT, "send", engine))) == "shop.jobs.send"


def test_a_host_that_is_installed_as_a_package_is_told_from_its_libraries() -> None:
    installed = "/venv/lib/python3.13/site-packages/shop/prices.py"
    library = function("requests.api", LIBRARY, "get")
    helper = function("shop.prices", installed, "look_up", library)
    assert place_of(error_of(function("shop.jobs", installed, "send", helper))) == "shop.prices.look_up"


def test_lines_and_the_directory_of_the_release_do_not_count() -> None:
    old = function("shop.jobs", PROJECT, "send")
    new = function("shop.jobs", PROJECT.replace("17", "18"), "send", lines=5)
    assert place_of(error_of(old)) == place_of(error_of(new))


def test_numbers_in_generated_names_do_not_count() -> None:
    places = {place_of(error_of(function("shop.jobs", PROJECT, f"task_{number}"))) for number in (123456, 123457)}
    assert places == {"shop.jobs.task_<n>"}


def test_without_own_code_the_deepest_frame_counts() -> None:
    assert place_of(error_of(function("json.decoder", STANDARD, "decode"))) == "json.decoder.decode"


def test_an_exception_that_was_never_raised_has_none() -> None:
    assert place_of(KeyError("tax")) == ""
