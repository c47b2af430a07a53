"""A module is changed when it is imported, and not imported for that."""

from __future__ import annotations

from tests.support.interpreters import printed_by

CODE = """
import os, sys

os.environ["DJANGO_SETTINGS_MODULE"] = "tests.bare.settings"
import django

django.setup()
from django_jobs.broker.rq_guard import when_imported

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


def test_a_module_is_changed_whatever_finder_it_comes_from() -> None:
    code = """
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec

class Elsewhere(MetaPathFinder, Loader):
    def find_spec(self, name, path, target=None):
        return ModuleSpec(name, self) if name.startswith("elsewhere") else None

    def create_module(self, spec):
        return None

    def exec_module(self, module):
        module.changed = 10

sys.meta_path.append(Elsewhere())
when_imported("elsewhere_too", change)
import elsewhere_too, elsewhere
print(elsewhere_too.changed, elsewhere.changed)
"""
    assert printed_by(CODE + code) == "11 10"


def test_the_source_of_a_changed_module_can_be_read() -> None:
    code = """
when_imported("colorsys", change)
import colorsys, inspect, linecache
print(inspect.getsource(colorsys.rgb_to_hsv).split("(")[0], linecache.getline(colorsys.__file__, 1) != "")
"""
    assert printed_by(CODE + code) == "def rgb_to_hsv True"
