"""Every text of a template goes through gettext."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Final

import pytest
from django.template.base import Lexer, TokenType

CHECKOUT: Final = Path(__file__).resolve().parents[2]
TEMPLATES: Final = sorted(
    path.relative_to(CHECKOUT) for path in (CHECKOUT / "django_jobs").rglob("templates/**/*.html")
)
#: Attributes that people read or hear.
SPOKEN: Final = ("alt", "aria-description", "aria-label", "aria-valuetext", "placeholder", "title")
#: Elements whose text nobody reads.
SILENT: Final = ("script", "style", "code", "pre")
#: Names, and what is the same in every language.
NAMES: Final = frozenset({"CSV", "JSON"})
#: Filters that put a text in the place of a value; ``pluralize`` knows English alone.
DEFAULTS: Final = re.compile(r"\|(?:(pluralize)|default_if_none|default|yesno|add)\b(?::\"([^\"]*)\"|:'([^']*)')?")
WORD: Final = re.compile(r"[^\W\d_]{2,}")
SENTENCE: Final = re.compile(rf"{WORD.pattern} {WORD.pattern}")


class Texts(HTMLParser):
    """Collects the texts of a page that people read."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []
        self._silent = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._silent += tag in SILENT
        self.found += [value for name, value in attrs if name in SPOKEN and value]
        # What scripts show; one word alone is a key.
        self.found += [value for name, value in attrs if name.startswith("data-") and value and SENTENCE.search(value)]
        if tag == "input" and ("type", "hidden") not in attrs:
            self.found += [value for name, value in attrs if name == "value" and value]

    def handle_endtag(self, tag: str) -> None:
        self._silent -= tag in SILENT

    def handle_data(self, data: str) -> None:
        if not self._silent:
            self.found.append(data)


def markup_of(source: str) -> str:
    """The template without its tags, and without what gettext gets; of its values, only the texts of their filters."""
    kept, within = [], ""
    for token in Lexer(source).tokenize():
        if token.token_type == TokenType.BLOCK:
            within = entered(token.split_contents(), within)
        elif not within and token.token_type == TokenType.TEXT:
            kept.append(token.contents)
        elif not within and token.token_type == TokenType.VAR:
            kept += ["".join(filter(None, found)) for found in DEFAULTS.findall(token.contents)]
    return "".join(kept)


def entered(tag: list[str], within: str) -> str:
    """The end of the tag in whose contents nothing is to be found: what is translated, and classes of the page."""
    if tag[0] in {"blocktranslate", "blocktrans"}:
        return f"end{tag[0]}"
    if tag[:2] == ["block", "bodyclass"]:
        return "endblock"
    return "" if tag[0] == within else within


def untranslated(source: str) -> list[str]:
    texts = Texts()
    texts.feed(markup_of(source))
    texts.close()
    return [text for text in map(str.strip, texts.found) if set(WORD.findall(text)) - NAMES]


@pytest.mark.parametrize("path", TEMPLATES, ids=str)
def test_a_template_has_no_text_of_its_own(path: Path) -> None:
    assert untranslated((CHECKOUT / path).read_text()) == []


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("<p>Hello</p>", ["Hello"]),
        ('<p>{% translate "Hello" %}</p>', []),
        ("{% blocktranslate count n=n %}{{ n }} job{% plural %}{{ n }} jobs{% endblocktranslate %}", []),
        ('{% blocktranslate %}One{% endblocktranslate %}<b title="Two">{{ three }}</b>', ["Two"]),
        ('<input placeholder="Find"><input value="Go"><img alt="A picture" src="x">', ["Find", "Go", "A picture"]),
        ('{% if a %}<td class="wide">{{ b|default:"none" }}</td>{% endif %}', ["none"]),
        ('{{ b|default_if_none:"nobody" }}<i>{{ c }}</i>', ["nobody"]),
        ("<td>{{ n }} job{{ n|pluralize }}</td>", ["jobpluralize"]),
        ('<p data-end="{{ a|yesno:"yes,no" }}">{{ a|yesno:"well,badly" }}</p>', ["well,badly"]),
        ("{% block bodyclass %}{{ block.super }} app-jobs{% endblock %}Text", ["Text"]),
        ('<p data-late="Another try follows." data-state="late"></p>', ["Another try follows."]),
        ('<input type="hidden" value="yes"><input type="submit" value="Yes">', ["Yes"]),
        ('<script type="application/json">{"a": "text"}</script> · % 1:05', []),
    ],
)
def test_the_finder_finds_what_people_would_read(source: str, found: list[str]) -> None:
    assert untranslated(source) == found
