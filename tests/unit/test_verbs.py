"""Tests speak to the public interface and through ``tests.support.verbs``: a move in the package touches no test."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Final

import pytest

from tests.support import verbs

ROOT: Final = Path(__file__).resolve().parents[2]
#: What a host may import, too.
PUBLIC: Final = {"django_jobs"} | {
    f"django_jobs.{name}"
    for name in ("conf", "exceptions", "models", "pools", "signals", "statuses", "testing", "urls", "values")
}
#: These import what lies inside, and why.
ALLOWED: Final = {
    "tests/integration/contrib/test_socketio_application.py": "It imports the package anew without its library.",
    "tests/support/tuning.py": "It names the package's constants, so that no test does.",
    "tests/support/verbs/": "It names the package's functions, so that no test does.",
}


def internal_imports(source: str) -> Iterator[str]:
    """Imports of what is inside the package, but of private names: a test of such a one goes where that goes."""
    tree = ast.parse(source)
    for node in ast.walk(tree):
        match node:
            case ast.Import():
                yield from (name for name in {alias.name for alias in node.names} - PUBLIC if is_ours(name))
            case ast.ImportFrom(module=str(module)) if is_ours(f"{module}."):
                yield from (f"{module}.{alias.name}" for alias in node.names if is_internal(module, alias, tree))
            case ast.Call(func=ast.Attribute(attr="setattr" | "patch"), args=[ast.Constant(value=str(path)), *_]):
                if is_ours(path) and "._" not in path:
                    yield path


def is_ours(name: str) -> bool:
    return name.startswith("django_jobs.")


def is_internal(module: str, alias: ast.alias, tree: ast.Module) -> bool:
    full = f"{module}.{alias.name}"
    if not is_module(full):
        return module not in PUBLIC and not alias.name.startswith("_")
    uses = uses_of(alias.asname or alias.name, tree)
    return full not in PUBLIC and not (uses and all(name.startswith("_") for name in uses))


def is_module(name: str) -> bool:
    path = ROOT.joinpath(*name.split("."))
    return path.with_suffix(".py").exists() or path.is_dir()


def uses_of(name: str, tree: ast.Module) -> set[str]:
    """What a module's name is asked for: ``name.this``, or ``setattr(name, "this", …)``."""
    found = {
        node.attr
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == name
    }
    for node in ast.walk(tree):
        match node:
            case ast.Call(args=[ast.Name(id=given), ast.Constant(value=str(attribute)), *_]) if given == name:
                found.add(attribute)
    return found


def test_no_test_outside_the_unit_layer_names_what_is_inside_the_package() -> None:
    found = [
        f"{path.relative_to(ROOT)}: {name}"
        for top in ("tests", "lab")
        for path in sorted((ROOT / top).rglob("*.py"))
        if not str(path.relative_to(ROOT)).startswith(("tests/unit/", *ALLOWED))
        for name in internal_imports(path.read_text())
    ]
    assert found == []


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("from django_jobs import submit_job", []),
        ("from django_jobs.models import Job", []),
        ("from django_jobs.engine.dispatch import dispatcher", ["django_jobs.engine.dispatch.dispatcher"]),
        (
            "from django_jobs.engine.execution.claim import claim_jobs as claim",
            ["django_jobs.engine.execution.claim.claim_jobs"],
        ),
        ("from django_jobs.engine import store\nstore._pick", []),
        ("from django_jobs.engine import store\nstore._pick\nstore.move", ["django_jobs.engine.store"]),
        ("import django_jobs.engine.scheduler", ["django_jobs.engine.scheduler"]),
        ('patch.setattr("django_jobs.engine.store.database.now", now)', ["django_jobs.engine.store.database.now"]),
    ],
)
def test_imports_of_what_is_inside_are_found(source: str, found: list[str]) -> None:
    assert list(internal_imports(source)) == found


def unexplained_patches(source: str) -> Iterator[int]:
    """Lines that put something else into the place of a private name, and do not say why above or beside."""
    lines = source.splitlines()
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Call(
                func=ast.Attribute(attr="setattr" | "setitem" | "delattr" | "object"),
                args=[_, ast.Constant(str(name)), *_],
            ):
                is_private = re.match("_[a-z]", name) is not None
            case ast.Call(func=ast.Attribute(attr="setattr" | "patch"), args=[ast.Constant(str(path)), *_]):
                is_private = is_ours(path) and re.search(r"\._[a-z]", path) is not None
            case _:
                continue
        if is_private and "no public way" not in "".join(lines[max(0, node.lineno - 2) : node.end_lineno]):
            yield node.lineno


def test_whatever_patches_a_private_name_says_why() -> None:
    found = [
        f"{path.relative_to(ROOT)}:{line}"
        for top in ("tests", "lab")
        for path in sorted((ROOT / top).rglob("*.py"))
        for line in unexplained_patches(path.read_text())
    ]
    assert found == []


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ('patch.setattr(pools, "_memory", 1)', [1]),
        ('# no public way: it is so\npatch.setattr(pools, "_memory", 1)', []),
        ('patch.setattr("django_jobs.engine.access._ask", 1)', [1]),
        ('patch.setattr(pools, "memory", 1)', []),
    ],
)
def test_patches_of_private_names_are_found(source: str, found: list[int]) -> None:
    assert list(unexplained_patches(source)) == found


def test_each_name_has_its_home() -> None:
    missing = [
        f"{name}: {module} has no {own_name}"
        for name, (module, own_name) in verbs.HOMES.items()
        if not hasattr(import_module(module), own_name) and not is_module(f"{module}.{own_name}")
    ]
    assert missing == []
