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
