"""What the values of a job type must be beside each other, and beside the settings and the code.

What the row holds already is accepted, so that a type can be paused while its handler cannot be loaded, or while its
pool is gone from the settings.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, NamedTuple

from django.utils.translation import gettext_noop as _

from django_jobs import pools
from django_jobs.models import hooks
from django_jobs.texts import say

NEEDS_KEY: Final = say(_("It needs a concurrency key: each of whose values would it count for?"), code="needs_key")


class _Check(NamedTuple):
    """Tells what is wrong with one field, in words, by the fields that ``reads`` names."""

    field: str
    reads: tuple[str, ...]
    problem: Callable[[Any], str | None]


def problems(kind: Any) -> dict[str, str]:
    """Return what is wrong with a type that is to be saved, by field; nothing for what its row holds already."""
    found = {check: text for check in _CHECKS if (text := check.problem(kind))}
    return {check.field: text for check, text in found.items() if not _is_stored(kind, check.reads)}


def pool_problem(pool: str) -> str | None:
    """Return that there is no such pool, and which there are; None where there is."""
    names = pools.names()
    if pool in names:
        return None
    text = _("The pool %(pool)s is not in DJANGO_JOBS['POOLS']. There are: %(pools)s.")
    return say(text, code="unknown_pool", pool=repr(pool), pools=", ".join(names))


def key_problem(key: str, names: frozenset[str] | None) -> str | None:
    """Return that no parameter has the name of a concurrency key; ``names`` are those of all, None for any."""
    if not key or names is None or key in names:
        return None
    if not names:
        return say(
            _("The parameters of this type have no %(key)s; there are none."), code="unknown_parameter", key=repr(key)
        )
    text = _("The parameters of this type have no %(key)s; there are %(names)s.")
    return say(text, code="unknown_parameter", key=repr(key), names=", ".join(sorted(names)))


def _is_stored(kind: Any, fields: tuple[str, ...]) -> bool:
    stored = type(kind)._default_manager.using(kind._state.db).filter(pk=kind.pk)
    return bool(stored.filter(**{name: getattr(kind, name) for name in fields}).exists())


def _handler(kind: Any) -> str | None:
    return hooks.path_problem(kind.handler_method) if kind.handler_method else None


def _key(kind: Any) -> str | None:
    return key_problem(kind.concurrency_key, hooks.parameter_names(kind.type_name)) if kind.concurrency_key else None


def _starts_per_key(kind: Any) -> str | None:
    return NEEDS_KEY if kind.max_starts_per_key is not None and not kind.concurrency_key else None


_CHECKS: Final = (
    _Check("handler_method", ("handler_method",), _handler),
    _Check("pool", ("pool",), lambda kind: pool_problem(kind.pool)),
    _Check("concurrency_key", ("concurrency_key",), _key),
    _Check("max_starts_per_key", ("concurrency_key", "max_starts_per_key"), _starts_per_key),
)
