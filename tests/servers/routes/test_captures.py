"""Every layout: the system is recognised, the extra routes are found, the commands are exact."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from shunt.servers.routes.recognise import LAYOUTS, read
from shunt.servers.routes.text import decode

from .captures import CAPTURES, Capture

SAMPLES = Path(
    os.environ.get("SHUNT_SAMPLES") or Path(__file__).parents[4] / "shared" / "samples" / "routes"
)


@pytest.mark.parametrize("capture", CAPTURES, ids=lambda c: c.name)
def test_capture(capture: Capture) -> None:
    result = capture.answer()
    assert {
        "system": result.system.value,
        "rows": len(result.listing.routes),
        "exit": result.exit_code,
        "extra": [
            {
                "line": extra.route.line,
                "network": str(extra.route.network or extra.route.written),
                "rule": extra.rule.name.lower(),
                "severity": extra.severity.value,
                "covers": [str(address) for _, address in extra.covers],
                "delete": list(how.commands),
            }
            for extra, how in result.extras
        ],
        "on_the_wire": [f"{one.cluster} {one.interface}" for one in result.on_the_wire],
        "blind": [blind.command for blind in result.blind],
    } == {"on_the_wire": [], **capture.expect}


def test_every_layout_has_a_capture() -> None:
    assert {read(c.text).layout for c in CAPTURES} == {layout.name for layout in LAYOUTS}


@pytest.mark.parametrize("capture", CAPTURES, ids=lambda c: c.name)
def test_line_ends_and_white_space_do_not_matter(capture: Capture) -> None:
    rows = capture.answer().listing.routes
    windows = "\r\n".join(f"{line}   " for line in capture.text.split("\n"))
    assert capture.answer(windows).listing.routes == rows
    assert capture.answer(decode(windows.encode("utf-16"))).listing.routes == rows


@pytest.mark.parametrize("encoding", ["cp850", "cp1252", "cp932"])
def test_code_pages_of_windows(encoding: str) -> None:
    language = {"cp932": "windows-japanese"}.get(encoding, "windows-french")
    capture = next(c for c in CAPTURES if c.name == language)
    result = capture.answer(decode(capture.text.encode(encoding)))
    assert [route.network for route in result.listing.routes] == [
        route.network for route in capture.answer().listing.routes
    ]
    assert result.exit_code == 1


@pytest.mark.skipif(not SAMPLES.is_dir(), reason="the collection of public captures is not here")
def test_public_captures_are_read() -> None:
    """Listings printed by real machines, where a copy of them is at hand."""
    wrong = {}
    for path in sorted(SAMPLES.iterdir()):
        system = read(decode(path.read_bytes())).system.value
        name = "macos" if "macos" in path.name else path.name
        if not name.removeprefix("oshi_").removeprefix("gateway-lib_").startswith(system[:5]):
            wrong[path.name] = system
    assert wrong == {"hpux11_netstat-rn_Dest-Netmask-header_with-Use.txt": "hp-ux"} | {
        "hpux11_netstat-rnv_manual_wrapped-lines.txt": "hp-ux"
    }
