"""Files that handlers save: their names, their places, whose they are."""

from __future__ import annotations

import io
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from django_jobs.conf import output_storage
from django_jobs.engine.execution.context import safe_basename
from tests.support import verbs

JOB_ID = "JOB-2026-00001"


@pytest.fixture(autouse=True)
def _storage_in_memory(settings: Any) -> None:
    settings.STORAGES = {**settings.STORAGES, "default": {"BACKEND": "django.core.files.storage.InMemoryStorage"}}


def test_a_file_name_keeps_only_what_every_storage_takes(subtests: pytest.Subtests) -> None:
    cases: list[tuple[str, str]] = [
        ("report.pdf", "report.pdf"),
        ("März 2026.pdf", "März_2026.pdf"),
        ("../../etc/passwd", "passwd"),
        ("..\\..\\boot.ini", "boot.ini"),
        ("/absolute/name.txt", "name.txt"),
        (".htaccess", "htaccess"),
        ("a<b>:c?.csv", "abc.csv"),
        ("..", "output"),
        ("", "output"),
        ("???", "output"),
        ("\x00", "output"),
    ]
    for filename, expected in cases:
        with subtests.test(filename=filename, expected=expected):
            assert safe_basename(filename) == expected


def test_a_long_file_name_keeps_its_end() -> None:
    name = safe_basename("x" * 500 + ".pdf")
    assert len(name) == 200
    assert name.endswith("x.pdf")


def test_a_long_file_name_is_cut_between_characters_to_what_every_file_system_takes(subtests: pytest.Subtests) -> None:
    for character in ("\u00e9", "\u540d", "\U0001d4b3"):
        with subtests.test(character=character):
            name = safe_basename(character * 150 + ".xlsx")
            assert 195 < len(name.encode()) <= 200
            assert name.endswith(f"{character}.xlsx")
            assert set(name) <= set(f"{character}.xlsx")


def test_a_file_of_a_long_name_is_saved_on_disk(settings: Any, tmp_path: Any) -> None:
    on_disk = {"BACKEND": "django.core.files.storage.FileSystemStorage", "OPTIONS": {"location": tmp_path}}
    settings.STORAGES = {**settings.STORAGES, "default": on_disk}
    assert verbs.save_output(7, JOB_ID, "名" * 100 + ".xlsx", b"").endswith("名.xlsx")


@given(st.text())
def test_no_file_name_leaves_its_folder(filename: str) -> None:
    name = safe_basename(filename)
    assert name not in {"", ".", ".."}
    assert not {"/", "\\", "\x00"} & set(name)


@pytest.mark.parametrize(
    "content", ["naïve", "naïve".encode(), io.BytesIO("naïve".encode())], ids=["text", "bytes", "file"]
)
def test_text_bytes_and_files_are_saved_alike(content: Any) -> None:
    reference = verbs.save_output(7, JOB_ID, "a.txt", content)
    with output_storage().open(reference) as file:
        assert file.read() == "naïve".encode()


def test_a_saved_file_belongs_to_its_job() -> None:
    reference = verbs.save_output(7, JOB_ID, "März 2026.pdf", b"")
    assert reference.startswith(f"django_jobs/7/{JOB_ID}/")
    assert verbs.output_belongs_to(reference, 7, JOB_ID)


def test_two_files_of_one_name_stay_apart() -> None:
    assert verbs.save_output(7, JOB_ID, "a.txt", b"1") != verbs.save_output(7, JOB_ID, "a.txt", b"2")


TOKEN = "a" * 22


def test_a_reference_that_was_not_made_for_the_job_is_mere_text(subtests: pytest.Subtests) -> None:
    cases: list[str] = [
        "",
        "https://example.com/a.pdf",
        f"django_jobs/8/{JOB_ID}/{TOKEN}/a.txt",
        f"django_jobs/7/JOB-2026-00002/{TOKEN}/a.txt",
        f"django_jobs/7/{JOB_ID}/short/a.txt",
        f"django_jobs/7/{JOB_ID}/{TOKEN}/../a.txt",
        f"django_jobs/7/{JOB_ID}/{TOKEN}/sub/a.txt",
        f"django_jobs/7/{JOB_ID}/{TOKEN}/",
        f"django_jobs/7/{JOB_ID}/../JOB-2026-00002/{TOKEN}/a.txt",
        f"/django_jobs/7/{JOB_ID}/{TOKEN}/a.txt",
    ]
    for reference in cases:
        with subtests.test(reference=reference):
            assert not verbs.output_belongs_to(reference, 7, JOB_ID)


def test_deleting_a_jobs_files_leaves_those_of_others() -> None:
    mine, others = (
        [verbs.save_output(7, JOB_ID, name, b"") for name in ("a", "b")],
        verbs.save_output(7, "JOB-2026-00002", "a", b""),
    )
    assert verbs.delete_outputs(7, JOB_ID) == 2
    assert [output_storage().exists(reference) for reference in mine] == [False, False]
    assert output_storage().exists(others)


def test_a_job_without_files_has_none_to_delete() -> None:
    assert verbs.delete_outputs(7, JOB_ID) == 0
