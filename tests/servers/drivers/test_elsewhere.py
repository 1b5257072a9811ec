"""Other boot files: found by the real `fgrep`, and judged line by line."""

from __future__ import annotations

import subprocess
from ipaddress import ip_address
from typing import TYPE_CHECKING

import pytest

from shunt.errors import ParseError
from shunt.servers.drivers.unix import elsewhere
from shunt.servers.drivers.unix.elsewhere import BootLine
from shunt.servers.steps import Output, Severity

if TYPE_CHECKING:
    from pathlib import Path

FOUR, SIX = ip_address("192.0.2.10"), ip_address("2001:db8::10")


def _asked(*files: str) -> dict[str, Output]:
    text = elsewhere.question(files, (FOUR, SIX)).command.text
    done = subprocess.run(["dash", "-c", text], capture_output=True, text=True, check=True)
    return {elsewhere.NAME: Output(done.stdout)}


def test_every_line_of_every_file_is_found(tmp_path: Path) -> None:
    (tmp_path / "rc.local").write_text("true\nifconfig lo0 alias 192.0.2.10\n192x0y2z10\n")
    (tmp_path / "S99web").write_text("ifconfig lo0 inet6 2001:db8::10 alias\n")
    (tmp_path / "S98web").symlink_to("S99web")
    (tmp_path / "S01dir").mkdir()
    found = elsewhere.read(_asked(f"{tmp_path}/*", f"{tmp_path}/no such file"))
    assert found == (
        BootLine(f"{tmp_path}/S98web", "ifconfig lo0 inet6 2001:db8::10 alias"),
        BootLine(f"{tmp_path}/rc.local", "ifconfig lo0 alias 192.0.2.10"),
    )


def test_a_binary_file_is_named_without_a_line() -> None:
    answer = Output("Binary file /Library/LaunchDaemons/my own.plist matches\nend\n")
    found = elsewhere.read({elsewhere.NAME: answer})
    assert found == (BootLine("/Library/LaunchDaemons/my own.plist", ""),)


def test_nothing_is_found_where_nothing_is(tmp_path: Path) -> None:
    assert elsewhere.read(_asked(f"{tmp_path}/*")) == ()


@pytest.mark.parametrize("answer", ["", "/etc/rc.local:ifconfig lo0 alias 192.0.2.10", "what\nend"])
def test_an_answer_that_is_not_whole_is_no_answer(answer: str) -> None:
    with pytest.raises(ParseError):
        elsewhere.read({elsewhere.NAME: Output(answer)})


def _judged(file: str, text: str, *kept: str) -> Severity | None:
    findings = elsewhere.plan((BootLine(file, text),), frozenset(kept), (FOUR, SIX)).findings
    return findings[0].severity if findings else None


@pytest.mark.parametrize(
    "text",
    [
        "ifconfig lo0 alias 192.0.2.10",
        "ifconfig lo0 192.0.2.10/24 alias",
        "ifconfig lo0 alias 192.0.2.10 netmask 0xffffff00",
        "ifconfig lo0 inet6 2001:db8::10/64 alias",
        "ifconfig lo0 inet6 2001:db8::10 prefixlen 64 alias",
        "IP_ADDRESS[2]=192.0.2.10",
        "ifconfig em0 alias 192.0.2.10 netmask 255.255.255.255",
    ],
)
def test_a_wide_mask_or_a_wire_is_an_error(text: str) -> None:
    assert _judged("/etc/rc.local", text) is Severity.ERROR


@pytest.mark.parametrize(
    "text",
    [
        "ifconfig lo0 alias 192.0.2.10 netmask 255.255.255.255",
        "ifconfig lo0 alias 192.0.2.10 255.255.255.255",
        "ifconfig lo0 alias 192.0.2.10 netmask 0xffffffff",
        "ifconfig lo0 inet 192.0.2.10/32 alias",
        "ifconfig lo0 inet6 2001:db8::10/128 alias",
        "ifconfig lo0:1 inet6 2001:db8::10 up prefix 128; ifconfig lo0:1 2001:db8::10/128",
        "chdev -l lo0 -a alias4=192.0.2.10,255.255.255.255",
        "# ifconfig lo0 alias 192.0.2.10",
        "ifconfig lo0 alias 192.0.2.100",
        "ifconfig lo0 alias 1192.0.2.10",
        "ifconfig lo0 inet6 2001:db8::10:1 prefixlen 64 alias",
        "ifconfig lo0 -alias 192.0.2.10",
        "route delete -net 192.0.2/24 192.0.2.10",
        "iperf3 -s -B 192.0.2.10",
    ],
)
def test_what_does_no_harm_is_not_told(text: str) -> None:
    assert _judged("/etc/rc.local", text) is None


def test_the_same_line_is_right_for_the_loopback_and_wrong_for_a_nic() -> None:
    line = "inet alias 192.0.2.10 255.255.255.255"
    assert _judged("/etc/hostname.lo0", line, line) is None
    assert _judged("/etc/hostname.lo0", line) is None
    assert _judged("/etc/hostname.em0", line, line) is Severity.ERROR


def test_what_cannot_be_judged_is_a_warning() -> None:
    assert _judged("/Library/LaunchDaemons/web.plist", "<string>192.0.2.10</string>") == 1
    assert _judged("/Library/LaunchDaemons/web.plist", "") == 1
