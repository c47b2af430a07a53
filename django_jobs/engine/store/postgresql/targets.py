"""Reading what a submission names, together with the versions of the rows, so that it need not be read each time."""

from __future__ import annotations

import functools
from typing import Any, Final

from django.db import models

from django_jobs.engine.store.base import Store
from django_jobs.engine.store.insertion_values import TargetRows, Versions
from django_jobs.models import JobType, get_organization_model

#: In the order of :class:`Versions`.
_VERSIONS: Final = ("t.ctid", "t.xmin", "o.ctid", "o.xmin")


class Targets(Store):
    """Job types and organizations with the versions of their rows: ``ctid`` and ``xmin`` name one version of a row."""

    def read_targets(self, kind: str, field: str, tenant: Any) -> TargetRows | None:
        model = get_organization_model()
        with self.connection.cursor() as cursor:
            cursor.execute(_sql(model, field), [kind, tenant])
            row = cursor.fetchone()
        if row is None:
            return None
        values = iter(row)
        kind_values = {name: next(values) for name in _kind_columns()}
        tenant_values = {column.attname: next(values) for column in model._meta.concrete_fields}
        return TargetRows(kind_values, tenant_values, Versions(*values))

    def holds(self, versions: Versions | None) -> bool:
        if versions is None:
            return True
        return bool(self.fetch(f"SELECT {sql_holds()}", versions._asdict())[0][0])


def sql_holds() -> str:
    """Return whether rows are as they were read, for a statement with :class:`Versions` among its parameters.

    They are found by their place, so that it costs little.
    """
    read: dict[str, Any] = {"kind": JobType, "tenant": get_organization_model()}
    return " AND ".join(
        f'EXISTS (SELECT 1 FROM "{model._meta.db_table}" '
        f"WHERE ctid = %({name}_ctid)s::tid AND xmin = %({name}_xmin)s::xid)"
        for name, model in read.items()
    )


@functools.cache
def _kind_columns() -> dict[str, str]:
    """What is read of a job type; JSON stays deferred."""
    fields = [field for field in JobType._meta.concrete_fields if not isinstance(field, models.JSONField)]
    return {field.attname: str(field.column) for field in fields}


@functools.cache
def _sql(model: type[models.Model], field: str) -> str:
    columns = [f't."{column}"' for column in _kind_columns().values()]
    columns += [f'o."{column.column}"' for column in model._meta.concrete_fields]
    columns += [f"{column}::text" for column in _VERSIONS]
    by: Any = model._meta.pk if field == "pk" else model._meta.get_field(field)
    return (
        f'SELECT {", ".join(columns)} FROM "{JobType._meta.db_table}" t, "{model._meta.db_table}" o '
        f'WHERE t.type_name = %s AND o."{by.column}" = %s'
    )
