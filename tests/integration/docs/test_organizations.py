"""The examples of docs/organizations.md run, one after the other, beside the example project's job type."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Final

import pytest

from django_jobs import get_job_status

PAGE: Final = Path(__file__).resolve().parents[3] / "docs" / "organizations.md"


@pytest.mark.usefixtures("broker")
def test_the_examples_run_in_their_order() -> None:
    examples = "\n".join(re.findall(r"^```python\n(.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL))
    names: dict[str, Any] = {"__name__": __name__}
    exec(compile(examples, str(PAGE), "exec"), names)
    assert get_job_status(names["job"]).status == "Canceled"
    assert names["organization"].is_active
