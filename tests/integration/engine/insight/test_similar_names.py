"""Names that may have been meant: near ones."""

from __future__ import annotations

import pytest

from tests.support import verbs
from tests.support.factories import make_job_type

pytestmark = pytest.mark.usefixtures("broker")


@pytest.mark.parametrize(
    ("given", "meant"),
    [("crtical", ["critical"]), ("HIGH", ["high"]), ("norm", ["normal"]), ("zzz", []), ("", []), ("x" * 1_000_000, [])],
    ids=lambda value: str(value)[:10],
)
def test_names_that_look_alike_are_meant(given: str, meant: list[str]) -> None:
    assert verbs.similar_names(given, ["critical", "high", "normal", "low"]) == meant


def test_a_job_type_is_found_by_its_typing_error() -> None:
    make_job_type(type_name="print_letters")
    assert verbs.similar_job_types("pirnt_letters") == ["print_letters"]
    assert verbs.similar_job_types("print\udcff\x00") == []
