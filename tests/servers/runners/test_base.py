"""How commands become lines: quoting survives every shell, namespaces are named three ways."""

from __future__ import annotations

import base64
import subprocess

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shunt.errors import UsageError
from shunt.servers.powershell import statement
from shunt.servers.runners.base import argv, line, namespace
from shunt.servers.runners.via import Via, parse
from shunt.servers.steps import Command

WORDS = st.text(st.characters(exclude_characters="\0", codec="utf-8"), max_size=12)


@given(st.lists(WORDS, min_size=1, max_size=4))
@settings(max_examples=60, deadline=None)
def test_a_login_shell_gets_the_words_unharmed(words: list[str]) -> None:
    command = Command(("printf", r"%s\0", *words))
    done = subprocess.run(["sh", "-c", line(command)], capture_output=True, check=True)
    assert done.stdout.decode().split("\0")[:-1] == words


def test_sudo_and_the_namespace_come_in_this_order() -> None:
    text = line(Command(("ip", "link")), netns="blue", sudo=True)
    assert text.endswith("sh sudo -n nsenter --net=/run/netns/blue -- ip link")


@pytest.mark.parametrize(
    ("name", "path"),
    [("blue", "/run/netns/blue"), ("4711", "/proc/4711/ns/net"), ("/run/x", "/run/x")],
)
def test_a_namespace_has_three_kinds_of_names(name: str, path: str) -> None:
    assert namespace(name) == path


def test_a_namespace_elsewhere_is_refused() -> None:
    with pytest.raises(UsageError, match="names no network namespace"):
        namespace("../etc")


def test_powershell_travels_encoded_and_stops_at_errors() -> None:
    words = argv(Command.powershell("Get-NetRoute -AddressFamily 'IPv4'"))
    text = base64.b64decode(words[-1]).decode("utf-16-le")
    assert "$ErrorActionPreference = 'Stop';" in text
    assert text.endswith("Get-NetRoute -AddressFamily 'IPv4'")


def test_a_programs_status_becomes_an_error_in_powershell() -> None:
    command = Command(("netsh", "int", "set", "name='x'"), shell="cmd", ok=(0, 1))
    text = statement(command)
    assert "name=''x''" in text
    assert "@(0, 1) -notcontains $LASTEXITCODE" in text


@pytest.mark.parametrize(
    ("text", "via"),
    [
        ("local", Via("local")),
        ("ssh://root@192.0.2.1:2222", Via("ssh", "192.0.2.1", 2222, "root")),
        ("root@[2001:db8::1]", Via("ssh", "2001:db8::1", None, "root")),
        ("ssh://a?jump=b@c", Via("ssh", "a", None, None, "b@c")),
        ("winrm://admin@win1", Via("winrm", "win1", None, "admin")),
    ],
)
def test_ways_in(text: str, via: Via) -> None:
    assert parse(text) == via


@pytest.mark.parametrize(
    "text", ["telnet://a", "ssh://", "ssh://root:secret@a", "ssh://a:99999", "ssh://[::1", ""]
)
def test_ways_that_are_none(text: str) -> None:
    with pytest.raises(UsageError):
        parse(text)
