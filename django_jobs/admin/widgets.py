"""A text input that offers values and takes others."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from django import forms
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString


class DatalistInput(forms.TextInput):
    """A text input with a ``<datalist>``. ``offered`` are the values, or a function that returns them for each page."""

    def __init__(
        self, offered: Iterable[str] | Callable[[], Iterable[str]], attrs: dict[str, Any] | None = None
    ) -> None:
        super().__init__({"autocomplete": "off", **(attrs or {})})
        self.offered = offered

    def render(self, name: str, value: Any, attrs: dict[str, Any] | None = None, renderer: Any = None) -> SafeString:
        list_id = f"{(attrs or {}).get('id') or name}_offered"
        offered = self.offered() if callable(self.offered) else self.offered
        options = format_html_join("", '<option value="{}"></option>', ((item,) for item in offered))
        field = super().render(name, value, {**(attrs or {}), "list": list_id}, renderer)
        return format_html('{}<datalist id="{}">{}</datalist>', field, list_id, options)


@dataclass(frozen=True, slots=True, kw_only=True)
class Button:
    """Something that helps: a link, or with ``fields`` a form that is sent to the address."""

    words: str
    url: str
    fields: Mapping[str, str] = field(default_factory=dict)
