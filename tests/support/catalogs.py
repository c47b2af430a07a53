"""Reads catalogs of translations, and says what is wrong with one."""

from __future__ import annotations

import gettext
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import django
from babel.messages.catalog import Catalog, Message
from babel.messages.pofile import read_po

CHECKOUT: Final = Path(__file__).resolve().parents[2]
#: The languages that are shipped beside English.
LANGUAGES: Final = ("ar", "de", "es", "fr", "pt_BR")
#: What CONTRIBUTING.md says that updates the catalogs.
OPTIONS: Final = ("--no-location", "--no-wrap", "--no-obsolete")
_NAME: Final = re.compile(r"%\((\w+)\)[a-z]|(?<!{){(\w*)}(?!})")
_MARKUP: Final = re.compile(r"<[^>]+>")
#: A form for one thing alone need not say how many there are.
_COUNTS: Final = frozenset({"count", "counter", "failed", "number"})


def folders() -> list[Path]:
    """Return the folders of catalogs that there are."""
    return sorted((CHECKOUT / "django_jobs").rglob("locale"))


def read(folder: Path, language: str) -> Catalog:
    with (folder / language / "LC_MESSAGES" / "django.po").open("rb") as file:
        return read_po(file, locale=language)


def messages(catalog: Catalog) -> list[Message]:
    return [message for message in catalog if message.id]


def key_of(message: Message) -> tuple[str | None, str]:
    """Return what tells a message from others in one catalog."""
    return message.context, message.id[0] if isinstance(message.id, tuple | list) else message.id


def faults(catalog: Catalog) -> Iterator[str]:
    """Yield what is wrong with the messages of a catalog."""
    for message in messages(catalog):
        ids = _texts(message.id)
        if message.fuzzy:
            yield f"{ids[0]!r} is fuzzy"
        if len(_texts(message.string)) != (catalog.num_plurals if len(ids) > 1 else 1):
            yield f"{ids[0]!r} has not {catalog.num_plurals} forms"
        for form, text in enumerate(_texts(message.string)):
            problem = _fault(ids, text, is_for_one=len(ids) > 1 and _is_for_one(catalog, form))
            if problem:
                yield f"{text or ids[0]!r} {problem}"


def _texts(value: Any) -> list[str]:
    return list(value) if isinstance(value, tuple | list) else [value or ""]


def _fault(ids: list[str], text: str, *, is_for_one: bool) -> str | None:
    if not text.strip():
        return "is not translated"
    wanted, found = _names(ids[-1]), _names(text)
    if found != wanted and not (is_for_one and found <= wanted and wanted - found <= _COUNTS):
        return f"has the values {sorted(found)} in the place of {sorted(wanted)}"
    if sorted(_MARKUP.findall(text)) != sorted(_MARKUP.findall(ids[-1])):
        return "has other markup"
    if text.count('"') and not ids[-1].count('"'):
        return 'has a ", which ends an attribute of HTML: use the quotes of the language'
    edges = [(item[: len(item) - len(item.lstrip())], item[len(item.rstrip()) :]) for item in (ids[-1], text)]
    return None if edges[0] == edges[1] else "begins or ends with other blanks"


def _names(text: str) -> set[str]:
    return {one or other for one, other in _NAME.findall(text)}


def _is_for_one(catalog: Catalog, form: int) -> bool:
    plural = gettext.c2py(catalog.plural_expr)  # Django counts by it, too
    # Some languages count none as one. Where there are none, nothing is said.
    return sum(plural(number) == form for number in range(1, 1_000)) == 1


def compiled(folder: Path, language: str) -> dict[Any, str]:
    """Return what the compiled catalog holds: by message, or by message and number of the form."""
    with (folder / language / "LC_MESSAGES" / "django.mo").open("rb") as file:
        found: dict[Any, str] = gettext.GNUTranslations(file)._catalog  # type: ignore[attr-defined]
    return {key: text for key, text in found.items() if key}


def to_compile(catalog: Catalog) -> dict[Any, str]:
    """Return the same of a catalog that is not compiled."""
    found: dict[Any, str] = {}
    for message in messages(catalog):
        context, text = key_of(message)
        key = text if context is None else f"{context}\x04{text}"
        if isinstance(message.id, tuple | list):
            found |= {(key, form): string for form, string in enumerate(_texts(message.string))}
        else:
            found[key] = _texts(message.string)[0]
    return found


def wanted(folder: Path, scratch: Path) -> set[tuple[str | None, str]]:
    """Return the messages that the code and the templates beside a folder of catalogs have now."""
    root = scratch / folder.parent.name
    shutil.copytree(folder.parent, root, ignore=shutil.ignore_patterns("__pycache__", "locale", "node_modules"))
    (root / "locale").mkdir()
    command = [sys.executable, "-m", "django", "makemessages", "--locale", "de", *OPTIONS]
    subprocess.run(command, cwd=root, check=True, capture_output=True, text=True)
    return {key_of(message) for message in messages(read(root / "locale", "de"))}


def plural_rule(language: str) -> str:
    """Return the rule of plural forms by which Django's own catalog of a language goes."""
    own = Path(django.__file__).parent / "conf" / "locale"
    return gettext.translation("django", own, [language]).info()["plural-forms"].replace(" ", "")
