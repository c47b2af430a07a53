"""A module is changed when it is imported, and not imported for that."""

from __future__ import annotations

from tests.support.interpreters import printed_by

CODE = """
import os, sys

os.environ["DJANGO_SETTINGS_MODULE"] = "tests.bare.settings"
import django

django.setup()
from django_jobs.broker.first_imports import when_imported

def change(module):
    module.changed = getattr(module, "changed", 0) + 1
"""


def test_a_module_is_changed_at_its_first_import() -> None:
    code = """
when_imported("colorsys", change)
print("colorsys" in sys.modules)
import colorsys
import colorsys
print(colorsys.changed, colorsys.rgb_to_hsv(0, 0, 0))
"""
    assert printed_by(CODE + code).split("\n") == ["False", "1 (0.0, 0.0, 0)"]


def test_a_module_that_has_been_imported_is_changed_at_once() -> None:
    code = """
import colorsys
when_imported("colorsys", change)
print(colorsys.changed)
"""
    assert printed_by(CODE + code) == "1"


def test_a_module_that_does_not_exist_is_missed_as_ever() -> None:
    code = """
when_imported("there_is_no_such_module", change)
try:
    import there_is_no_such_module
except ModuleNotFoundError as error:
    print(error.name)
"""
    assert printed_by(CODE + code) == "there_is_no_such_module"
