"""Puts a mutant in the place of the code that a running process has loaded, and takes it out again."""

from __future__ import annotations
import __future__

import ast
import gc
import importlib
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import CodeType, FunctionType, ModuleType
from typing import Any, Final

from lab.mutants.catalogue import Mutant

#: Modules that remember what their functions have made, such as the text of a statement.
REMEMBERING: Final = "django_jobs.engine.store"


class CannotBeExchanged(Exception):
    """The mutant does not lie in a function, or in a constant, that this process has."""


@contextmanager
def exchanged(mutant: Mutant) -> Iterator[None]:
    """Let the process run the mutant until the context ends."""
    module = importlib.import_module(mutant.file.removesuffix(".py").removesuffix("/__init__").replace("/", "."))
    changes = [*_changes(mutant, module)]
    if not changes:
        raise CannotBeExchanged(f"nothing of {module.__name__} that is in use has changed")
    before = [(owner, name, getattr(owner, name)) for owner, name, _ in changes]
    try:
        for owner, name, value in changes:
            setattr(owner, name, value)
        _forget(module)
        yield
    finally:
        for owner, name, value in before:
            setattr(owner, name, value)
        _forget(module)


def _changes(mutant: Mutant, module: ModuleType) -> Iterator[tuple[Any, str, Any]]:
    """Yield what to set: which attribute of what, to which value."""
    path = str(module.__file__)
    sides = [
        (ast.parse(text), compile(text, path, "exec", dont_inherit=True)) for text in (mutant.source, mutant.mutated)
    ]
    (old_tree, old_code), (new_tree, new_code) = sides
    codes: dict[CodeType, CodeType] = {}
    for scope, old, new in _differing(old_tree, new_tree, ""):
        if isinstance(old, ast.FunctionDef | ast.AsyncFunctionDef) and isinstance(new, type(old)):
            codes.update(_pairs(_code_of(old_code, scope, old), _code_of(new_code, scope, new)))
        elif isinstance(new, ast.Assign | ast.AnnAssign):
            yield from _constants(module, scope, new)
        else:
            raise CannotBeExchanged(f"line {getattr(new, 'lineno', 0)} is no function and no constant")
    if codes:
        gc.unfreeze()
        for item in gc.get_objects():
            if type(item) is FunctionType and item.__code__.co_filename == path and item.__code__ in codes:
                yield item, "__code__", codes[item.__code__]


def _differing(old: Any, new: Any, scope: str) -> Iterator[tuple[str, ast.stmt, ast.stmt]]:
    """Yield the functions and the other statements of a module, and of its classes, that differ."""
    if len(old.body) != len(new.body):
        raise CannotBeExchanged("it adds or removes a function or a constant")
    for before, after in zip(old.body, new.body, strict=True):
        if isinstance(before, ast.ClassDef) and isinstance(after, ast.ClassDef):
            yield from _differing(before, after, f"{scope}{before.name}.")
        elif ast.dump(before) != ast.dump(after):
            yield scope, before, after


def _code_of(code: CodeType, scope: str, node: ast.FunctionDef | ast.AsyncFunctionDef) -> CodeType:
    name, line = scope + node.name, min([node.lineno, *(item.lineno for item in node.decorator_list)])
    for found in _within(code):
        if found.co_qualname == name and found.co_firstlineno == line:
            return found
    raise CannotBeExchanged(f"{name} has no code")


def _within(code: CodeType) -> Iterator[CodeType]:
    yield code
    for item in code.co_consts:
        if isinstance(item, CodeType):
            yield from _within(item)


def _pairs(old: CodeType, new: CodeType) -> dict[CodeType, CodeType]:
    """Return the new code of a function, and of those in it that exist already, where these are the same ones."""
    inner_old, inner_new = [*_within(old)][1:], [*_within(new)][1:]
    found = {old: new}
    if [item.co_name for item in inner_old] == [item.co_name for item in inner_new]:
        found.update(zip(inner_old, inner_new, strict=True))
    return {old: new for old, new in found.items() if len(old.co_freevars) == len(new.co_freevars)}


def _constants(module: ModuleType, scope: str, node: ast.Assign | ast.AnnAssign) -> Iterator[tuple[Any, str, Any]]:
    """Yield a constant of a class, or of a module and of each one that has imported it."""
    target = node.targets[0] if isinstance(node, ast.Assign) else node.target
    if not isinstance(target, ast.Name):
        raise CannotBeExchanged(f"line {node.lineno} gives a value to no single name")
    owner: Any = module
    for part in scope.split(".")[:-1]:
        owner = getattr(owner, part)
    values = {**vars(module), **vars(owner)}
    tree = ast.Module(body=[node], type_ignores=[])
    exec(compile(tree, str(module.__file__), "exec", flags=__future__.annotations.compiler_flag), values)
    yield owner, target.id, values[target.id]
    if owner is module:
        for other in _modules(module.__name__.split(".")[0]):
            if other is not module and getattr(other, target.id, values) is getattr(module, target.id):
                yield other, target.id, values[target.id]


def _modules(package: str) -> list[ModuleType]:
    found = [*sys.modules.items()]
    return [module for name, module in found if name.partition(".")[0] == package and isinstance(module, ModuleType)]


def _forget(module: ModuleType) -> None:
    for other in {id(item): item for item in (module, *_modules("django_jobs"))}.values():
        if other is module or other.__name__.startswith(REMEMBERING):
            for value in [*vars(other).values()]:
                if callable(getattr(value, "cache_clear", None)):
                    value.cache_clear()
