"""The kinds of values by which jobs are filtered, and what a field of a filter asks for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, NamedTuple, TypeVar

from django.db.models import QuerySet

from django_jobs.engine.insight import filter_conditions as conditions
from django_jobs.engine.insight import filter_values as values
from django_jobs.engine.insight import filter_words
from django_jobs.engine.json_storage import clean_text
from django_jobs.texts import say

Rows = TypeVar("Rows", bound=QuerySet[Any])


def _same(value: Any) -> Any:
    return value


class Kind(NamedTuple):
    """How the values of a field are read, which raises ValueError, written as JSON, and told to people.

    ``restored`` reads what was written, where that is not to be understood as what people give.
    """

    read: Callable[[Any], Any]
    write: Callable[[Any], Any] = _same
    tell: Callable[[Any], list[str]] = filter_words.tell
    restored: Callable[[Any], Any] | None = None

    def restore(self, stored: Any) -> Any:
        """Return the value that was written so; None where it asks for nothing."""
        return None if stored is None else (self.restored or self.read)(stored)


STATUSES: Final = Kind(values.several(values.read_status), list, filter_words.tell_statuses)
NAMES: Final = Kind(values.several(values.read_name), list)
PRIORITIES: Final = Kind(values.several(values.read_priority), list, filter_words.tell_priorities)
KEYS: Final = Kind(
    values.several(values.read_organization_pk),
    values.write_organization_pks,
    filter_words.tell_organizations,
)
JOB_IDS: Final = Kind(values.several(values.read_job_id), values.write_job_ids, values.write_job_ids)
BATCH: Final = Kind(values.read_batch_id, values.write_batch_id, filter_words.tell_batch)
MOMENT: Final = Kind(values.read_moment, values.write_moment, filter_words.tell_moment)
TEXT: Final = Kind(values.read_text, restored=values.restore_text)
FINGERPRINT: Final = Kind(values.read_fingerprint, tell=filter_words.tell_fingerprint, restored=values.read_name)
NUMBER: Final = Kind(values.read_number)
CHOICE: Final = Kind(values.read_choice, tell=filter_words.tell_flag)
FLAG: Final = Kind(values.read_flag, tell=filter_words.tell_flag)
PARAMETERS: Final = Kind(
    values.read_parameters, values.write_parameters, values.write_parameters, values.restore_parameters
)


class Term(NamedTuple):
    """What a field asks for.

    ``is_walked`` tells that no index finds the jobs: a list looks at the newest jobs alone then.
    """

    name: str
    kind: Kind
    condition: str | conditions.Condition
    words: Any
    is_walked: bool = False

    def restore(self, stored: Any) -> Any:
        """Return the value that was stored; ValueError where it would ask for nothing."""
        value = self.kind.restore(stored)
        if value is None:
            raise ValueError(say("%(value)s asks for nothing.", code="required", value=clean_text(repr(stored), 50)))
        return value

    def narrow(self, rows: Rows, value: Any) -> Rows:
        """Return those of the rows that have this value. A text as condition is a look-up that finds it."""
        if isinstance(self.condition, str):
            return rows.filter(**{self.condition: value})
        return conditions.apply(rows, self.condition, value)

    def tell(self, value: Any) -> tuple[str, str]:
        """Return the label and the value, in the language of the reader."""
        return str(self.words), filter_words.in_words(self.kind.tell(value))
