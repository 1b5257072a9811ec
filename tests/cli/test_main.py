"""The outermost layer: what an error becomes for a person and for a script."""

from __future__ import annotations

import errno
import sys

import pytest

from shunt.cli import main as module
from shunt.cli.main import COMMANDS, LINES, app, main, report
from shunt.errors import ParseError, RemoteError, ShuntError, UsageError


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


def test_the_list_of_commands_says_what_each_is_for(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", ["shunt", "--help"])
    with pytest.raises(SystemExit):
        main()
    listed = " ".join(capsys.readouterr().out.replace("│", " ").split())
    for name, line in LINES.items():
        assert f"{name} {line}" in listed


@pytest.mark.parametrize("name", COMMANDS)
def test_a_commands_line_is_the_beginning_of_its_own_help(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    app([name, "--help"], result_action="return_value")
    own = " ".join(capsys.readouterr().out.split())
    assert LINES[name].rstrip(".").partition(", and the reasons")[0][:40] in own


@pytest.mark.parametrize("name", ["verify", "watch"])
def test_help_has_examples(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    app([name, "--help"], result_action="return_value")
    assert f"For example: shunt {name} -c shunt.yaml" in " ".join(capsys.readouterr().out.split())


def test_debug_behind_two_dashes_is_anothers(monkeypatch: pytest.MonkeyPatch) -> None:
    heard: list[list[str]] = []
    monkeypatch.setattr(module, "app", lambda words, **_: heard.append(words))
    for words in (["lab", "exec", "c", "--", "x", "--debug"], ["--debug", "up"], ["up", "--debug"]):
        monkeypatch.setattr(sys, "argv", ["shunt", *words])
        with pytest.raises(SystemExit):
            main()
    assert heard[0] == ["lab", "exec", "c", "--", "x", "--debug"]
    assert heard[1:] == [["up"], ["up"]]


@pytest.mark.parametrize("debug", [False, True])
@pytest.mark.parametrize(
    ("error", "words"),
    [
        (OSError(errno.EMFILE, "Too many open files", "/etc/x"), "/etc/x: Too many open files"),
        (OSError(errno.EMFILE, "Too many open files"), "this machine refused: Too many open files"),
        (OSError(errno.ENOSPC, "No space left on device"), "No space left"),
        (OSError(errno.EROFS, "Read-only file system", "/run/x"), "/run/x: Read-only"),
        (PermissionError(errno.EACCES, "Permission denied", "/x"), "run as root"),
        (MemoryError(), "out of memory"),
        (ExceptionGroup("x", [OSError(errno.ENFILE, "Too many open files")]), "/proc/sys/fs/"),
    ],
)  # fmt: skip
def test_what_the_machine_refuses_is_no_bug_of_ours(
    error: Exception, words: str, debug: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    assert report(error, debug=debug) == 2
    written = capsys.readouterr().err
    assert words in written
    assert "internal error" not in written
    assert len(written.splitlines()[-1]) > 5


def test_another_error_of_the_system_may_be_one() -> None:
    assert report(OSError(errno.EBADF, "Bad file descriptor"), debug=False) == 3


@pytest.mark.parametrize("kind", [RemoteError, ParseError])
def test_what_a_server_says_at_length_is_cut(kind: type[ShuntError]) -> None:
    error = kind("x" * (8 << 20))
    assert len(error.message) < 4100
    assert error.message.endswith("x ... (8,384,608 letters more)")
    assert kind("y" * 4000).message == "y" * 4000
