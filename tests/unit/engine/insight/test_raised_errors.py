"""What a traceback tells: the last exception, and the frame that raised it."""

from __future__ import annotations

import traceback

from django_jobs.engine.insight.failures import RaisedError, raised_error

CALL = '  File "/srv/shop/jobs/mails.py", line 41, in welcome\n    mailer.send(letter)\n'
LAST = '  File "/srv/shop/mailing/smtp.py", line 31, in send\n    raise InvalidMailer("no relay")\n'
END = "shop.mailing.InvalidMailer: no relay\n"
TRACEBACK = f"Traceback (most recent call last):\n{CALL}{LAST}{END}"


def test_it_is_the_last_exception_and_its_last_frame() -> None:
    assert raised_error(TRACEBACK) == RaisedError(
        error_class="shop.mailing.InvalidMailer",
        text="no relay",
        path="/srv/shop/mailing/smtp.py",
        line=31,
        function="send",
        source='raise InvalidMailer("no relay")',
    )


def test_frame_and_exception_are_written_as_python_does() -> None:
    found = raised_error(TRACEBACK)
    assert found.place == 'File "/srv/shop/mailing/smtp.py", line 31, in send'
    assert found.error == "shop.mailing.InvalidMailer: no relay"


def test_the_end_of_a_traceback_is_enough() -> None:
    assert raised_error(TRACEBACK[-160:]) == raised_error(TRACEBACK)


def test_a_file_is_told_by_the_end_of_its_path() -> None:
    windows = TRACEBACK.replace("/srv/shop/mailing/smtp.py", "C:\\shop\\mailing\\smtp.py")
    assert raised_error(TRACEBACK).file == raised_error(windows).file == "shop/mailing/smtp.py"


def test_of_a_chain_the_last_exception_is_told() -> None:
    try:
        try:
            raise KeyError("first")
        except KeyError as error:
            raise LookupError("second\nof two lines") from error
    except LookupError:
        found = raised_error(traceback.format_exc())
    assert (found.error_class, found.text) == ("LookupError", "second\nof two lines")
    assert found.source == 'raise LookupError("second\\nof two lines") from error'


def test_marks_below_the_source_are_no_exception() -> None:
    found = raised_error('  File "a.py", line 1, in f\n    1 / 0\n    ~~^~~\nZeroDivisionError: by 0\n')
    assert (found.source, found.error) == ("1 / 0", "ZeroDivisionError: by 0")


def test_an_exception_without_a_text_has_its_class_alone() -> None:
    found = raised_error(TRACEBACK.replace(END, "KeyboardInterrupt\n"))
    assert (found.error_class, found.text, found.error) == ("KeyboardInterrupt", "", "KeyboardInterrupt")


def test_without_a_line_of_source_there_is_none() -> None:
    assert raised_error(TRACEBACK.replace('    raise InvalidMailer("no relay")\n', "")).source == ""


def test_the_stacks_of_a_killed_process_tell_where_it_was_and_no_exception() -> None:
    found = raised_error('Thread 1:\n  File "a.py", line 1, in f\n    wait()\nThread 2 (most recent call first):\n')
    assert (found.place, found.error) == ('File "a.py", line 1, in f', "")


def test_what_is_no_traceback_tells_nothing() -> None:
    for text in ("", "it was killed", "Traceback (most recent call last):\n"):
        assert raised_error(text) == RaisedError()
