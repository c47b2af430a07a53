"""Merging modules: what the new one says, and what becomes of those that named the old ones."""

from __future__ import annotations

import textwrap
from pathlib import Path

import pytest

from lab.merging.merge import Merge
from lab.merging.plan import Plan
from lab.merging.sources import Checkout

FILES = {
    "django_jobs/__init__.py": "",
    "django_jobs/desk/__init__.py": "",
    "django_jobs/desk/limits.py": '''
        """How much may be done."""

        import logging

        MOST = 5


        def check(count):
            logging.info("%s of %s", count, MOST)
    ''',
    "django_jobs/desk/doing.py": '''
        """Doing it."""

        from django_jobs.desk import limits
        from django_jobs.desk.limits import MOST


        def do(count=MOST):
            limits.check(count)
    ''',
    "django_jobs/door.py": """
        from django_jobs.desk import doing, limits


        def enter(doing_it):
            limits.check(1)
            doing.do()
    """,
    "tests/test_door.py": """
        from django_jobs.desk import limits as own
        from django_jobs.desk.limits import check

        PLACE = ("django_jobs.desk.limits", "check")
        CODE = "from django_jobs.desk import limits; limits.check(1)"


        def test(monkeypatch):
            monkeypatch.setattr(own, "check", check)
    """,
    "docs/page.md": "`django_jobs.desk.limits.check` is in django_jobs/desk/limits.py.",
}
PLAN = """
["django_jobs.desk.all"]
parts = ["django_jobs.desk.doing", "django_jobs.desk.limits"]
doc = "What is done, and how much."
["django_jobs.desk.all".names]
"django_jobs.desk.limits.check" = "check_limits"
"""


def merged(root: Path, plan: str = PLAN) -> Merge:
    for name, text in FILES.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(textwrap.dedent(text).lstrip("\n"))
    (root / "plan").write_text(plan)
    checkout = Checkout(root)
    return Merge(checkout, Plan(root / "plan", checkout))


def test_modules_become_one_and_all_that_names_them_follows(tmp_path: Path) -> None:
    merge = merged(tmp_path)
    assert merge.problems == []
    merge.write()
    texts = {name: (tmp_path / name).read_text() for name in FILES if (tmp_path / name).exists()}
    assert FILES.keys() - texts.keys() == {"django_jobs/desk/limits.py", "django_jobs/desk/doing.py"}
    new = (tmp_path / "django_jobs/desk/all.py").read_text()
    assert new.index("MOST = 5") < new.index("def do(count=MOST):\n    check_limits(count)")
    assert new.count("import") == new.count("import annotations") + new.count("import logging")
    door = "from django_jobs.desk import all def enter(doing_it): all.check_limits(1) all.do()"
    assert " ".join(texts["django_jobs/door.py"].split()) == door
    for line in (
        "from django_jobs.desk import all as own",
        "from django_jobs.desk.all import check_limits as check",
        'PLACE = ("django_jobs.desk.all", "check_limits")',
        "from django_jobs.desk import all; all.check_limits(1)",
        'monkeypatch.setattr(own, "check_limits", check)',
    ):
        assert line in texts["tests/test_door.py"].replace("\nall.", " all.")
    assert texts["docs/page.md"] == "`django_jobs.desk.all.check_limits` is in django_jobs/desk/all.py."


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('"check_limits"', '"do"'),
        ('"check_limits"', '"logging"'),
        ("limits.check", "limits.nothing"),
        ('doing", ', 'doing", "django_jobs.desk.nothing", '),
    ],
    ids=["a name twice", "a name that is imported", "no such name", "no such module"],
)
def test_what_cannot_be_is_told(tmp_path: Path, old: str, new: str) -> None:
    assert merged(tmp_path, PLAN.replace(old, new)).problems


def test_what_a_hand_mends_is_done_last_and_what_finds_no_place_is_told(tmp_path: Path) -> None:
    mends = """
        [[mends]]
        file = "docs/page.md"
        old = "is in"
        new = "stands in"
        [[mends]]
        file = "docs/page.md"
        old = "is nowhere"
        new = "is lost"
    """
    merge = merged(tmp_path, PLAN + textwrap.dedent(mends))
    merge.write()
    assert len(merge.plan.mend(tmp_path)) == 1
    assert (tmp_path / "docs/page.md").read_text() == (
        "`django_jobs.desk.all.check_limits` stands in django_jobs/desk/all.py."
    )
