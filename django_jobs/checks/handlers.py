"""Where handlers may lie, and what they declare."""

from __future__ import annotations

from typing import Any

from django.core.checks import CheckMessage, Error, register

from django_jobs.conf import jobs_settings


@register("django_jobs")
def check_handler_modules(**kwargs: Any) -> list[CheckMessage]:
    """The modules are a list: of one text each letter would count."""
    modules = jobs_settings.HANDLER_MODULES
    if isinstance(modules, list | tuple | set | frozenset) and all(isinstance(name, str) for name in modules):
        return []
    return [
        Error(
            f"DJANGO_JOBS['HANDLER_MODULES'] must be a list of module names, not {modules!r}.",
            hint='For a single one write ("billing.tasks",).',
            id="django_jobs.E005",
        )
    ]


@register("django_jobs")
def check_declared_twice(**kwargs: Any) -> list[CheckMessage]:
    """Each job type is declared by one function."""
    from django_jobs.engine import declarations

    return [
        Error(
            f"The job type {name!r} is declared more than once: by {' and by '.join(places)}.",
            hint="Give one of them another name.",
            id="django_jobs.E006",
        )
        for name, places in declarations.duplicates().items()
    ]


@register("django_jobs")
def check_declarations(**kwargs: Any) -> list[CheckMessage]:
    """What @job_handler says can be stored, and its function can be found by its path."""
    from django_jobs.engine import declarations, declared_types

    return [
        Error(
            f"@job_handler({declaration.type_name!r}) of {declaration.place}: {problem}",
            hint="A handler is a function of a module's top level; its keywords are the fields of a Job Type.",
            obj=declaration.path,
            id="django_jobs.E007",
        )
        for declaration in declarations.declared()
        for problem in declared_types.problems(declaration)
    ]
