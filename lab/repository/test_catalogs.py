"""The catalogs of translations are complete, and say with the same values what the English texts say."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
from babel.messages.catalog import Catalog

from tests.support.catalogs import (
    LANGUAGES,
    compiled,
    faults,
    folders,
    key_of,
    messages,
    plural_rule,
    read,
    to_compile,
    wanted,
)

CATALOGS = [(folder, language) for folder in folders() for language in LANGUAGES]


def name_of(value: object) -> str:
    return value.parent.name if isinstance(value, Path) else str(value)


@pytest.mark.parametrize("folder", folders(), ids=name_of)
def test_a_folder_has_all_languages_and_no_other(folder: Path) -> None:
    assert sorted(path.name for path in folder.iterdir()) == sorted(LANGUAGES)


@pytest.mark.parametrize(("folder", "language"), CATALOGS, ids=name_of)
def test_a_catalog_has_no_fault(folder: Path, language: str) -> None:
    assert list(faults(read(folder, language))) == []


@pytest.mark.parametrize(("folder", "language"), CATALOGS, ids=name_of)
def test_a_catalog_counts_as_django_does(folder: Path, language: str) -> None:
    catalog = read(folder, language)
    assert catalog.plural_forms.replace(" ", "").rstrip(";") == plural_rule(language).rstrip(";")


@pytest.mark.parametrize(("folder", "language"), CATALOGS, ids=name_of)
def test_what_is_compiled_is_what_the_catalog_says(folder: Path, language: str) -> None:
    assert compiled(folder, language) == to_compile(read(folder, language))


@pytest.mark.skipif(shutil.which("xgettext") is None, reason="makemessages wants GNU gettext")
@pytest.mark.parametrize("folder", folders(), ids=name_of)
def test_a_catalog_has_the_texts_of_the_code_and_no_other(
    folder: Path, tmp_path: Path, subtests: pytest.Subtests
) -> None:
    now = wanted(folder, tmp_path)
    for language in LANGUAGES:
        with subtests.test(language=language):
            has = {key_of(message) for message in messages(read(folder, language))}
            assert (sorted(map(str, now - has)), sorted(map(str, has - now))) == ([], []), "run makemessages"


def german(**strings: str | tuple[str, ...]) -> Catalog:
    """A catalog that has these translations, by number, of the messages below."""
    catalog = Catalog(locale="de")
    ids: dict[str, Any] = {
        "plain": "Good",
        "named": "%(count)d of {most}",
        "plural": ("%(count)d job", "%(count)d jobs"),
        "markup": "<b>Good</b>",
    }
    for name, string in strings.items():
        catalog.add(ids[name], string)
    return catalog


@pytest.mark.parametrize(
    ("catalog", "fault"),
    [
        (german(plain="Gut", named="%(count)d von {most}", plural=("Ein Auftrag", "%(count)d Aufträge")), None),
        (german(plain=""), "is not translated"),
        (german(plain='"Gut"'), "ends an attribute"),
        (german(plain="Gut "), "other blanks"),
        (german(named="%(count)d von {mehr}"), "has the values ['count', 'mehr']"),
        (german(named="viel von {most}"), "has the values ['most']"),
        (german(plural=("Ein Auftrag", "Aufträge")), "has the values []"),
        (german(plural=("%(count)d Auftrag", "")), "is not translated"),
        (german(markup="<b>Gut"), "other markup"),
    ],
)
def test_faults_are_found(catalog: Catalog, fault: str | None) -> None:
    found = list(faults(catalog))
    assert len(found) == (fault is not None)
    assert fault is None or fault in found[0]


def test_a_fuzzy_message_is_a_fault() -> None:
    catalog = Catalog(locale="de")
    catalog.add("Good", "Gut", flags=["fuzzy"])
    assert list(faults(catalog)) == ["'Good' is fuzzy"]
