"""Fields of bodies and of filters."""

from __future__ import annotations

import dataclasses
import datetime as dt
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cached_property
from types import NoneType
from typing import Any, ClassVar, Final, NamedTuple, get_args, get_type_hints

import django_filters
from django import forms
from django.core.exceptions import ValidationError
from django.http import QueryDict
from django.template import loader
from django_filters.fields import IsoDateTimeField
from django_filters.rest_framework import DjangoFilterBackend
from rest_framework import serializers
from rest_framework.fields import BooleanField

from django_jobs.engine.access import organizations_named, unknown_organization
from django_jobs.engine.json_storage import clean_text, unstorable_part
from django_jobs.engine.store.counting import created_between
from django_jobs.models.batch import parse_batch_id
from django_jobs.statuses import BatchState, Priority
from django_jobs.texts import code_of, said, say

# Serializer fields for what is special here: priorities, job ids, names to choose from.


#: What is said of a parameter that is given twice and has one value.
GIVE_ONE: Final = say("Give one value.", code="given_twice")


class Option(NamedTuple):
    """One line of an HTML select, as the REST framework's template reads it."""

    value: str
    display_text: str
    disabled: bool = False
    start_option_group: bool = False
    end_option_group: bool = False


#: A priority as it comes in, and as it is shown. The enum is inside of another schema: as it is, drf-spectacular would
#: make a component of it, whose name could be one of the host's.
PRIORITY: Final[dict[str, Any]] = {
    "oneOf": [{"type": "string", "enum": Priority.words()}, {"type": "integer", "enum": list(map(int, Priority))}]
}
PRIORITY_WORD: Final[dict[str, Any]] = {"anyOf": [{"type": "string", "enum": Priority.words()}]}
JOB_ID: Final[dict[str, Any]] = {"type": "string", "examples": ["JOB-2026-00001"]}


class DescribedField:
    """A field of a serializer that says itself, in JSON Schema, what it takes and what it shows."""

    taken: dict[str, Any]
    shown: dict[str, Any]


class PriorityInput(DescribedField, serializers.Field[Any, Any, Any, Any]):
    """Accept a priority's word or number; show the word."""

    taken, shown = PRIORITY, PRIORITY_WORD
    default_error_messages = {"invalid": f"Use one of {', '.join(Priority.words())}."}

    def __init__(self, **kwargs: Any) -> None:
        kwargs.setdefault("style", {"base_template": "select.html"})
        self.allow_blank = not kwargs.get("required", True)
        super().__init__(**kwargs)

    def get_value(self, dictionary: Any) -> Any:
        value = super().get_value(dictionary)
        return serializers.empty if value == "" and is_form(dictionary) else value

    def iter_options(self) -> Iterator[Option]:
        """Yield what the select of a form offers, the most urgent first."""
        yield from (Option(word, word) for word in reversed(Priority.words()))

    def to_internal_value(self, data: Any) -> int:
        try:
            return int(Priority.parse(data))
        except ValueError:
            self.fail("invalid")

    def to_representation(self, value: Any) -> str:
        return Priority(value).word


class SwitchField(serializers.BooleanField):
    """Accept true or false; in a form people choose one of the two.

    A checkbox that is not ticked sends nothing, so that the REST framework takes a form without the field for a no. But
    it has the field's default where a client sends its fields as a form.
    """

    def __init__(self, **kwargs: Any) -> None:
        kwargs.setdefault("style", {"base_template": "select.html"})
        super().__init__(**kwargs)

    def get_value(self, dictionary: Any) -> Any:
        is_missing = is_form(dictionary) and self.field_name not in dictionary
        return serializers.empty if is_missing else super().get_value(dictionary)

    def iter_options(self) -> Iterator[Option]:
        """Yield the two words that a form offers. A no comes first: the REST framework marks none as chosen for it."""
        yield from (Option(word, word) for word in ("False", "True"))


class JobIdsField(DescribedField, serializers.Field[Any, Any, Any, Any]):
    """Accept a list of job ids or a single one; in a form they are separated by commas or blanks."""

    taken = shown = {"oneOf": [{"type": "array", "items": JOB_ID}, JOB_ID]}
    default_error_messages = {"invalid": "Give a job id or a list of them."}

    def __init__(self, **kwargs: Any) -> None:
        kwargs.setdefault("style", {"base_template": "input.html", "input_type": "text"})
        super().__init__(**kwargs)

    def get_value(self, dictionary: Any) -> Any:
        """Return what was sent. Of a form's field that is repeated the REST framework would take the last one alone.

        A blank text is a field of a form that nobody filled in. Elsewhere it is an id, and none that there is: who
        sends it has lost the job that is to be waited for.
        """
        if not is_form(dictionary):
            value = super().get_value(dictionary)
            return [value] if isinstance(value, str) and not value.replace(",", " ").strip() else value
        values = dictionary.getlist(self.field_name)
        return [*values] if len(values) > 1 else super().get_value(dictionary)

    def to_internal_value(self, data: Any) -> list[str]:
        if isinstance(data, str):
            return [part for part in re.split(r"[\s,]+", data) if part]
        if isinstance(data, list) and all(isinstance(item, str) for item in data):
            return data
        raise serializers.ValidationError(self.error_messages["invalid"], code="not_a_list")

    def to_representation(self, value: Any) -> Any:
        return value


class ObjectField(DescribedField, serializers.JSONField):
    """Accept a JSON object, or its text where it comes from a form or a query. An empty text counts as not given."""

    taken = shown = {"type": "object", "additionalProperties": True}
    default_error_messages = {"object": "Give an object (a dict), or nothing."}

    def __init__(self, **kwargs: Any) -> None:
        kwargs.setdefault("style", {"base_template": "textarea.html", "rows": 12})
        kwargs.setdefault("initial", {})
        super().__init__(**kwargs)

    def get_value(self, dictionary: Any) -> Any:
        value = super().get_value(dictionary)
        # The REST framework marks what comes from a form with this attribute.
        is_blank = getattr(value, "is_json_string", False) and not str(value).strip()
        return serializers.empty if is_blank else value

    def to_internal_value(self, data: Any) -> Any:
        try:
            value: Any = super().to_internal_value(data)
        except RecursionError:
            self.fail("invalid")
        if not (value is None or isinstance(value, dict)):
            self.fail("object")
        return value


class WordField(DescribedField, serializers.CharField):
    """Show one of a few words. It is for answers alone: it does not check what comes in."""

    def __init__(self, *, words: list[str], **kwargs: Any) -> None:
        self.taken = self.shown = {"anyOf": [{"type": "string", "enum": words}]}
        super().__init__(**kwargs)


class NameField(serializers.CharField):
    """Accept a name, and let people choose it in a form among those that ``options`` gives for the user.

    A form offers at most ``at_most`` of them; where there are more, any other may be typed.
    """

    def __init__(
        self, *, options: Callable[[Any], list[tuple[str, str]]], at_most: int | None = None, **kwargs: Any
    ) -> None:
        self.options = options
        self.at_most = at_most
        kwargs.setdefault("style", {"template": "django_jobs/api/name.html"})
        super().__init__(**kwargs)

    @cached_property
    def offered(self) -> list[tuple[str, str]]:
        """Return all that ``options`` gives for the request's user, as (value, text); empty without a request."""
        request = self.context.get("request")
        return self.options(request.user) if request is not None else []

    @property
    def is_cut(self) -> bool:
        """Return whether there are more names than the form offers."""
        return self.at_most is not None and len(self.offered) > self.at_most

    def iter_options(self) -> Iterator[Option]:
        """Yield the names that the form offers."""
        yield from (Option(*option) for option in self.offered[: self.at_most])


def is_form(data: Any) -> bool:
    """Return whether the data come from a form."""
    return hasattr(data, "getlist")


def refuse_repeated(data: Any, several: Any) -> None:
    """Raise ValidationError when a field of a form is sent twice that is not among ``several``.

    To choose one of the values would be a guess.
    """
    repeated = [str(name) for name, values in data.lists() if len(values) > 1 and name not in several]
    if repeated:
        raise serializers.ValidationError({clean_text(name, 100): [GIVE_ONE] for name in repeated[:50]})


def refuse_unknown(data: Any, known: Any) -> None:
    """Raise ValidationError when a name in ``data`` is not among the ``known`` ones.

    Otherwise a mistyped field or parameter would be ignored. The error names at most 50 of them.
    """
    unknown = [str(name) for name in data if name not in known]
    if unknown:
        text = say("There is no such field; known are %(known)s.", code="unknown_field", known=", ".join(known))
        raise serializers.ValidationError({clean_text(name, 100): [text] for name in unknown[:50]})


def check_parameters(parameters: Any, known: Any) -> None:
    """Raise ValidationError for a parameter of an address that is not among the ``known`` ones, or is given twice."""
    refuse_unknown(parameters, known)
    refuse_repeated(parameters, ())


# Filters and form fields that lists need beyond those of django-filter.


#: Values of a parameter that may be repeated.
MAX_VALUES: Final = 100


class SeveralField(forms.Field):
    """A parameter that may be repeated up to 100 times. ``parse`` reads each value, or raises ValueError."""

    widget = forms.SelectMultiple

    def __init__(self, *, parse: Any, **kwargs: Any) -> None:
        self.parse = parse
        super().__init__(**kwargs)

    def to_python(self, value: Any) -> list[Any]:
        values = [item for item in value or [] if item != ""]
        if len(values) > MAX_VALUES:
            raise ValidationError(f"At most {MAX_VALUES} values are accepted.", code="too_many")
        try:
            return [self.parse(item) for item in values]
        except ValueError as error:
            raise ValidationError(str(error), code=said(error).code) from error


class SeveralFilter(django_filters.Filter):  # type: ignore[misc]
    """Find the rows whose column has one of the values."""

    field_class = SeveralField

    def filter(self, qs: Any, value: Any) -> Any:
        return qs.filter(**{f"{self.field_name}__in": value}) if value else qs


class OneLineWidget(forms.TextInput):
    """Read every repetition of a parameter, and show one line in a form."""

    def value_from_datadict(self, data: Any, files: Any, name: str) -> Any:
        values = data.getlist(name) if hasattr(data, "getlist") else data.get(name)
        return values if isinstance(values, list) or values is None else [values]

    def format_value(self, value: Any) -> Any:
        return (value[0] if value else "") if isinstance(value, list) else value


def check_batch_id(text: str) -> None:
    """Raise ValidationError when the text is no batch id."""
    if parse_batch_id(text.strip()) is None:
        raise ValidationError(f"{clean_text(text, 50)!r} is not a batch id such as BATCH-2026-00001.", "not_a_batch_id")


def read_state(text: str) -> str:
    """Return the text; ValueError when it is no state of a batch."""
    if text not in BatchState.values:
        pattern = "%(value)r is not a state; use %(choices)s."
        raise ValueError(
            say(pattern, code="not_a_state", value=clean_text(text, 50), choices=", ".join(BatchState.values))
        )
    return text


def check_encodable(text: str) -> None:
    """Raise ValidationError for a lone surrogate; Django's own check of a text refuses null characters alone."""
    if unstorable_part(text.replace("\x00", "")):
        raise ValidationError("Lone surrogates are not allowed.", code="unstorable_text")


class MomentField(IsoDateTimeField):  # type: ignore[misc]
    """A moment; one that lies outside of the calendar in UTC is refused."""

    def to_python(self, value: Any) -> Any:
        moment = super().to_python(value)
        try:
            return moment and moment.astimezone(dt.UTC)
        except OverflowError as error:
            raise ValidationError("This moment is out of range.", code="out_of_range") from error


class MomentFilter(django_filters.Filter):  # type: ignore[misc]
    """Find rows by a moment (ISO 8601)."""

    field_class = MomentField


class FlagWidget(forms.NullBooleanSelect):
    """Offer yes, no and neither, and hand on what was given: Django's own takes every word that it does not know for
    neither.
    """

    def value_from_datadict(self, data: Any, files: Any, name: str) -> Any:
        return data.get(name)


class FlagField(forms.Field):
    """True or false, in the words that the REST framework takes for them. A form sends ``unknown`` for neither."""

    taken: Final = {"type": "boolean"}
    widget = FlagWidget

    def to_python(self, value: Any) -> bool | None:
        word = str(value or "").strip().lower()
        if word in {"", "unknown"}:
            return None
        if word not in BooleanField.TRUE_VALUES | BooleanField.FALSE_VALUES:
            raise ValidationError("Give true or false.", code="not_true_or_false")
        return word in BooleanField.TRUE_VALUES


class FlagFilter(django_filters.BooleanFilter):  # type: ignore[misc]
    """Find rows for which something is so, or is not. What is neither true nor false is refused, not ignored."""

    field_class = FlagField


class PriorityFormField(forms.CharField):
    """A priority by its label or number; the form offers the labels."""

    taken = PRIORITY
    widget = forms.Select(choices=[("", "---------"), *((label, label) for label in reversed(Priority.words()))])

    def to_python(self, value: Any) -> Any:
        text = super().to_python(value)
        try:
            return int(Priority.parse(text)) if text else None
        except ValueError as error:
            raise ValidationError(f"Use one of {', '.join(Priority.words())}.") from error


class PriorityFilter(django_filters.Filter):  # type: ignore[misc]
    """Find rows by their priority."""

    field_class = PriorityFormField


# What the filters of lists have in common: the organization, and how wrong parameters are refused.


class ListFilter(django_filters.FilterSet):  # type: ignore[misc]
    """Find rows by the parameters of a list. Only those that are read by a SeveralFilter may be repeated."""

    organization = django_filters.CharFilter(label="Organization", method="in_organization", help_text="Its id.")

    def in_organization(self, rows: Any, name: str, value: str) -> Any:
        """Return the organization's rows. ``is_valid`` has read its key."""
        return rows.filter(organization_id=self._organizations[value])

    def created(self, rows: Any, name: str, value: dt.datetime) -> Any:
        """Return the rows that were made at or after a moment, or before it, as the parameter's name says."""
        return created_between(rows, **{name.removeprefix("created_"): value})

    def matching(self) -> Any:
        """Return the rows that match. The REST framework's ValidationError names the parameters that are wrong.

        The errors are translated here, because django-filter's own way fails at a percent sign in a message.
        """
        wrong = {} if self.is_valid() else {name: _coded(found) for name, found in self.errors.as_data().items()}
        wrong |= self._repeated()
        if wrong:
            raise serializers.ValidationError(wrong)
        rows: Any = self.qs
        return rows

    def _repeated(self) -> dict[str, list[str]]:
        """The errors of parameters that were given twice but have one value: to choose one would be a guess."""
        several = {name for name, item in self.base_filters.items() if isinstance(item, SeveralFilter)}
        given = self.data.lists() if isinstance(self.data, QueryDict) else ()
        return {name: [GIVE_ONE] for name, values in given if len(values) > 1 and name not in several}

    def is_valid(self) -> bool:
        """Return whether all parameters are right.

        An organization that the user may not know of is refused like one that does not exist.
        """
        self._organizations: dict[str, Any] = {}
        valid = bool(super().is_valid())
        name = self.form.cleaned_data.get("organization")
        if name:
            self._organizations = organizations_named({name}, getattr(self.request, "user", None))
            if name not in self._organizations:
                text = unknown_organization(name)
                self.form.add_error("organization", ValidationError(text, code=code_of(text)))
                return False
        return valid


def _coded(errors: Iterable[ValidationError]) -> list[str]:
    return [say("%(text)s", code=error.code or "", text=text) for error in errors for text in error]


class ListFilterBackend(DjangoFilterBackend):  # type: ignore[misc]
    """Filter a list by the view's filters, and refuse parameters that these do not have.

    ``page_parameters`` are those that are no filters.
    """

    #: The pagination reads the first two, the REST framework ``format``.
    page_parameters: ClassVar[tuple[str, ...]] = ("limit", "offset", "format")

    def filter_queryset(self, request: Any, queryset: Any, view: Any) -> Any:
        refuse_unknown(request.query_params, [*view.filterset_class.base_filters, *self.page_parameters])
        return self.get_filterset(request, queryset, view).matching()

    def to_html(self, request: Any, queryset: Any, view: Any) -> str:
        """Return the filters as a form that shows beside each what is wrong with it, an unknown organization too."""
        filterset = self.get_filterset(request, queryset, view)
        filterset.is_valid()
        return loader.get_template(self.template).render({"filter": filterset}, request)


# Serializer fields made from a dataclass, so that its fields are listed in one place.


_FIELDS: Final[dict[Any, Callable[..., Any]]] = {
    str: serializers.CharField,
    int: serializers.IntegerField,
    bool: serializers.BooleanField,
    float: serializers.FloatField,
    dt.datetime: serializers.DateTimeField,
    list[str]: lambda **more: serializers.ListField(child=serializers.CharField(), **more),
    dict[str, Any]: serializers.DictField,
    dict[str, int]: lambda **more: serializers.DictField(child=serializers.IntegerField(), **more),
    Any: serializers.JSONField,
}


def fields_of(kind: type[Any], **options: Any) -> dict[str, Any]:
    """Return a serializer field for each field of a dataclass, by name and in the same order.

    A field's ``metadata`` are more arguments of its serializer field, ``options`` those of all; with ``words`` that is
    a WordField. KeyError for a type that has no serializer field here.
    """
    types = get_type_hints(kind)
    return {item.name: _field(types[item.name], {**item.metadata, **options}) for item in dataclasses.fields(kind)}


def _field(kind: Any, more: Mapping[str, Any]) -> Any:
    plain = [part for part in get_args(kind) if part is not NoneType] if NoneType in get_args(kind) else [kind]
    make: Callable[..., Any] = WordField if "words" in more else _FIELDS[plain[0]]
    return make(**({"allow_null": True} if plain != [kind] else {}), **more)
