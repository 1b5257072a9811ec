"""The outermost layer: what an error becomes for a person and for a script."""

from __future__ import annotations

import pytest

from shunt.cli.main import report
from shunt.errors import RemoteError, ShuntError, UsageError


@pytest.mark.parametrize(
    ("error", "code"), [(UsageError("x"), 2), (RemoteError("x"), 3), (ShuntError("x"), 1)]
)
def test_an_error_says_what_to_do_and_has_its_code(
    error: ShuntError, code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    error.hint = "try y"
    assert report(error, debug=False) == code
    assert capsys.readouterr().err == "shunt: x\n  try y\n"


def test_an_error_of_our_own_does_not_say_that_something_is_to_be_done(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert report(KeyError("x"), debug=False) == 3
    assert "internal error: KeyError: 'x'" in capsys.readouterr().err


def test_debug_adds_the_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    report(KeyError("x"), debug=True)
    assert "KeyError: 'x'\n" in capsys.readouterr().err
