"""The door to the terminal: no text of a stranger commands it, whatever way it is printed."""

from __future__ import annotations

import io
import json
import logging
import shutil
import subprocess
import sys
import unicodedata
from pathlib import Path

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st
from rich.live import Live
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from shunt.cli import logs
from shunt.cli.main import main, report
from shunt.cli.output import Output, VisibleConsole
from shunt.cli.terminal import show_messages_of_libraries, visible
from shunt.errors import RemoteError

# Sets the title, asks for an answer, hides, goes up, CSI of C1, turns letters round, a lone byte.
HOSTILE = "\x1b]0;pwned\x07\x1b[6n\x1b[8m\x1b[1A\x9b31m\u202etxt\u2066\u200b\udc9b\x00\x7f\r\x08"
HOSTILE += "\u3164\ufe0f"  # nothing is drawn for these
NOT_DRAWN = set("\u034f\u115f\u1160\u17b4\u17b5\u2800\u3164\uffa0") | {
    chr(number) for start, end in ((0x180B, 0x180F), (0xFE00, 0xFE0F), (0xE0100, 0xE01EF))
    for number in range(start, end + 1)
}  # fmt: skip


def is_harmless(text: str) -> bool:
    """Tell, without asking the door, whether a terminal would only show `text`."""
    return all(c in "\n\t" or unicodedata.category(c)[0] != "C" for c in text) and not (
        ({"\u2028", "\u2029"} | NOT_DRAWN) & set(text)
    )


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain, Grüße, 漢字, e\u0301 ▓", "plain, Grüße, 漢字, e\u0301 ▓"),
        ("a\n\tb", "a\n\tb"),
        ("windows\r\n", "windows\r\n"),
        ("over\rwritten", r"over\x0dwritten"),
        ("\x1b[31m", r"\x1b[31m"),
        ("\x9b31m\x7f", r"\x9b31m\x7f"),
        ("\u202egpj.exe", r"\u202egpj.exe"),
        ("a\u200bb\ufeff", r"a\u200bb\ufeff"),
        ("\udcff\ud800", r"\xff\ud800"),
        ("\U000e0041", r"\U000e0041"),
        ("12\xa0000", "12\xa0000"),
        ("a\u3164\u115f\uffa0\u2800", r"a\u3164\u115f\uffa0\u2800"),
        ("\u034f\u180b\u17b4\ufe0f\U000e01ef", r"\u034f\u180b\u17b4\ufe0f\U000e01ef"),
    ],
)
def test_what_is_not_shown_is_written_out(text: str, shown: str) -> None:
    assert visible(text) == shown


@given(st.text(st.characters(codec=None) | st.sampled_from(HOSTILE)))
def test_nothing_passes_and_a_second_time_changes_nothing(text: str) -> None:
    shown = visible(text)
    assert is_harmless(shown.replace("\r\n", "\n"))
    assert visible(shown) == shown
    assert "\n" not in visible(text, lines=False)


def test_tables_texts_and_live_displays_pass_the_door() -> None:
    file = io.StringIO()
    console = VisibleConsole(file=file, width=300, color_system=None)
    table = Table("server", title=escape(HOSTILE))
    table.add_row(f"[red]{escape(HOSTILE)}[/]")
    table.add_row(Text(HOSTILE))
    console.print(table)
    console.print(HOSTILE, markup=False, soft_wrap=True)
    console.print(Text(HOSTILE))
    with Live(Text(HOSTILE), console=console, auto_refresh=False) as live:
        live.update(Text(HOSTILE * 2), refresh=True)
    assert is_harmless(file.getvalue())
    assert file.getvalue().count(r"\x1b]0;pwned") >= 6


def test_columns_fit_what_is_shown() -> None:
    file = io.StringIO()
    table = Table("name", "state", box=None)
    table.add_row("\x1b[31m", "up")
    VisibleConsole(file=file, width=60, color_system=None).print(table)
    head, row = file.getvalue().splitlines()
    assert head.index("state") == row.index("up")


def test_a_commands_output_passes_the_door(capsys: pytest.CaptureFixture[str]) -> None:
    out = Output()
    out.text(HOSTILE)
    out.warn(HOSTILE)
    out.err.print(HOSTILE, markup=False)
    Output(json=True).document({HOSTILE: HOSTILE})
    report(RemoteError(HOSTILE, hint=HOSTILE), debug=True)
    report(ValueError(HOSTILE), debug=True)
    written = capsys.readouterr()
    assert is_harmless(written.out)
    assert is_harmless(written.err)
    assert json.loads(written.out.partition("\n")[2]) == {HOSTILE: HOSTILE}


def run(monkeypatch: pytest.MonkeyPatch, *words: str) -> None:
    monkeypatch.setattr(sys, "argv", ["shunt", *words])
    with pytest.raises(SystemExit):
        main()


def test_files_and_listings_and_words_pass_the_door(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    name = "\x1b]0;pwned\x07\u202e"
    listing = tmp_path / f"list{name}"
    listing.write_text(
        f"10.0.0.0/8 dev eth{name} scope link\nlocal 192.0.2.10 dev {name} x{name}\n"
    )
    file = tmp_path / "shunt.yaml"
    file.write_text('"\\e]0;pwned\\a\\u202e": "\\e[6n"\nclusters: {"\\e[8m": 1}\n')
    run(monkeypatch, "routes", str(listing), "--cluster", "192.0.2.10")
    run(monkeypatch, "config", "check", str(file))
    run(monkeypatch, "config", "check", str(tmp_path / f"none{name}"))
    run(monkeypatch, "config", name)
    run(monkeypatch, name)
    written = capsys.readouterr()
    assert "pwned" in written.err
    assert is_harmless(written.out)
    assert is_harmless(written.err)


@pytest.mark.parametrize("as_json", [False, True])
def test_an_event_is_one_line_of_the_log(as_json: bool, capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure(json=as_json)
    try:
        log = structlog.get_logger()
        log.warning(HOSTILE, words=f"{HOSTILE}\n2026-01-01 [info] forged", more=[HOSTILE])
        written = capsys.readouterr().err
        assert written.count("\n") == 1
        log.error("failed", exc_info=ValueError(HOSTILE))
    finally:
        structlog.reset_defaults()
    written += capsys.readouterr().err
    assert "forged" in written
    assert is_harmless(written)


def test_messages_of_libraries_pass_the_door(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.StringIO()
    root = logging.RootLogger(logging.WARNING)
    monkeypatch.setattr(logging, "root", root)
    monkeypatch.setattr(sys, "stderr", stream)
    show_messages_of_libraries()
    root.warning("asyncssh says %s", HOSTILE)
    assert "pwned" in stream.getvalue()
    assert is_harmless(stream.getvalue())


@pytest.mark.parametrize(
    "line",
    [
        'print("x")',
        'import sys\n\nsys.stdout.write("x")',
        'import sys\n\nsys.stderr.write("x")',
        "from rich.console import Console\n\nConsole()",
        "import traceback\n\ntraceback.print_exc()",
    ],
)
def test_the_lint_lets_nobody_print_past_the_door(line: str) -> None:
    ruff = shutil.which("ruff", path=str(Path(sys.executable).parent))
    assert ruff, "ruff belongs to the development environment"
    found = subprocess.run(
        [ruff, "check", "--select", "T20,TID251", "--stdin-filename", "src/shunt/cli/new.py", "-"],
        input=f"{line}\n", text=True, capture_output=True, timeout=60,
        cwd=Path(__file__).parents[2], check=False,
    )  # fmt: skip
    assert found.returncode == 1, found.stdout
    assert "T201" in found.stdout or "TID251" in found.stdout
