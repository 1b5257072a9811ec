"""`shunt routes` as it is typed: what it prints, what it leaves with."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path

import pytest
import yaml

from shunt.cli.main import main

pytestmark = pytest.mark.filterwarnings(  # `main` reads sys.argv, as it does for people
    "ignore:Cyclopts application invoked without tokens:UserWarning"
)
CAPTURES = Path(__file__).parents[1] / "servers" / "routes" / "captures"


def capture(name: str) -> str:
    text = yaml.safe_load((CAPTURES / f"{name}.yaml").read_text(encoding="utf-8"))["text"]
    assert isinstance(text, str)
    return text


def shunt(
    monkeypatch: pytest.MonkeyPatch, *arguments: str, stdin: str | bytes = ""
) -> int | str | None:
    data = stdin if isinstance(stdin, bytes) else stdin.encode()
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))
    monkeypatch.setattr(sys, "argv", ["shunt", "routes", *arguments])
    with pytest.raises(SystemExit) as left:
        main()
    return left.value.code


def test_the_classic_example(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """A folded table of Windows: one extra route, deleted by network and cluster address."""
    file = tmp_path / "table.txt"
    file.write_text(capture("windows-class-a-folded"))
    assert shunt(monkeypatch, str(file), "--cluster", "9.67.133.158") == 1
    out = capsys.readouterr().out
    assert "  delete it: route delete 9.0.0.0 9.67.133.158\n" in out
    assert "it covers the server's own address 9.67.133.67, the gateway 9.67.128.1" in out
    assert out.count("extra route:") == 1


def test_windows_2003_is_told_to_ignore_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    code = shunt(
        monkeypatch, "-", "--cluster", "9.67.133.158", "--system", "windows2003",
        stdin=capture("windows-class-a-folded"),
    )  # fmt: skip
    out = capsys.readouterr().out
    assert code == 0
    assert "cannot delete routes: ignore this one" in out
    assert "delete it:" not in out


def test_no_extra_route(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    code = shunt(monkeypatch, "--cluster", "192.168.64.90", stdin=capture("macos-clean"))
    assert code == 0
    assert capsys.readouterr().out == "macos: netstat -rn of BSD, 14 rows\nno extra routes\n"


def test_a_listing_that_cannot_tell(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    code = shunt(monkeypatch, "--cluster", "192.0.2.10", stdin=capture("linux-netstat"))
    out = capsys.readouterr().out
    assert code == 2
    assert "cannot tell for 192.0.2.10" in out
    assert "ip -j -4 route show table all" in out
    assert "no extra routes" not in out


def test_json(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    code = shunt(
        monkeypatch, "--json", "--cluster", "198.51.100.200", "--dispatcher", "198.51.100.9",
        stdin=capture("aix-extra-net"),
    )  # fmt: skip
    document = json.loads(capsys.readouterr().out)
    assert code == 1
    assert document["system"] == "aix"
    assert document["cannot_tell"] == []
    (extra,) = document["extra"]
    assert extra["delete"] == ["route delete -net 198.51.100/24 198.51.100.200"]
    assert extra["severity"] == "error"
    assert {"what": "the dispatcher", "address": "198.51.100.9"} in extra["covers"]


@pytest.mark.parametrize(
    ("arguments", "stdin", "says"),
    [
        (["--cluster", "192.0.2.10"], "", "empty"),
        (["--cluster", "192.0.2.10"], "hello world\n", "known layout"),
        (["--cluster", "192.0.2.10"], b"\xff\xfe\x00", "UTF-16"),
        (["--cluster", "192.0.2"], "x", "192.0.2"),
        (["no/such/file", "--cluster", "192.0.2.10"], "", "cannot be read"),
        ([], "", "cluster"),
        (["--cluster", "192.0.2.10", "--system", "dos"], "x", "hp-ux"),
    ],
)
def test_bad_input_is_exit_2_with_a_reason(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    stdin: str | bytes,
    says: str,
) -> None:
    assert shunt(monkeypatch, *arguments, stdin=stdin) == 2
    captured = capsys.readouterr()
    assert says in captured.err
    assert "Traceback" not in captured.err
    assert "no extra routes" not in captured.out


def test_an_address_on_a_card_is_told_and_its_network_left_alone(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    code = shunt(monkeypatch, "--cluster", "203.0.113.80", stdin=capture("aix-on-nic"))
    out = capsys.readouterr().out
    assert code == 1
    assert "203.0.113.80 is on en0, a network card (line 7)" in out
    assert "delete it" not in out
    assert "no extra routes" not in out
    shunt(monkeypatch, "--cluster", "203.0.113.80", "--json", stdin=capture("aix-on-nic"))
    document = json.loads(capsys.readouterr().out)
    assert document["on_the_wire"] == [{"cluster": "203.0.113.80", "interface": "en0", "line": 7}]
