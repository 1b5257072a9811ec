"""Scripts for those who let nobody in: run for real where that can be, looked at elsewhere."""

from __future__ import annotations

import re
import subprocess
from dataclasses import replace
from ipaddress import ip_address
from typing import TYPE_CHECKING
from urllib.parse import unquote

import pytest

from shunt.errors import UsageError
from shunt.model.config import OperatingSystem, Server
from shunt.servers.scripts import powershell, sh
from shunt.servers.scripts.writing import write_script
from shunt.servers.steps import Command, Plan, Step
from shunt.servers.wish import Silence, Wish
from tests.servers.bourne import NOT_BOURNE, SHELLS
from tests.servers.linux.setting_up import state

if TYPE_CHECKING:
    from pathlib import Path

    from shunt.lab.host import Host
    from shunt.lab.lab import Lab

ADDRESSES = (ip_address("192.0.2.10"), ip_address("2001:db8::10"))
UNIX = [
    s for s in OperatingSystem if s not in {OperatingSystem.WINDOWS, OperatingSystem.WINDOWS2003}
]


def _wish(
    system: OperatingSystem = OperatingSystem.LINUX,
    *,
    silence: Silence = Silence.AUTO,
    persist: bool = True,
) -> Wish:
    wpar = "app1" if system is OperatingSystem.AIX_WPAR else None
    server = Server(
        "s1", (ip_address("192.0.2.21"),), os=system, wpar=wpar, gateway=ip_address("192.0.2.1")
    )
    four_only = system in {OperatingSystem.AIX_WPAR, OperatingSystem.WINDOWS2003}
    clusters = ADDRESSES[:1] if four_only else ADDRESSES
    return Wish(server, clusters, silence=silence, persist=persist)


@pytest.mark.parametrize("system", UNIX)
@pytest.mark.parametrize("shell", SHELLS)
def test_every_unix_script_is_shell(system: OperatingSystem, shell: str) -> None:
    text = write_script(_wish(system))
    done = subprocess.run(
        [*shell.split(), "-n"], input=text.encode(), capture_output=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert all(str(a) in text for a in _wish(system).clusters)


@pytest.mark.parametrize("system", [s for s in UNIX if s is not OperatingSystem.LINUX])
def test_scripts_of_old_systems_are_for_a_bourne_shell(system: OperatingSystem) -> None:
    text = write_script(_wish(system))
    assert not NOT_BOURNE.search(text)


@pytest.mark.parametrize("system", [OperatingSystem.WINDOWS, OperatingSystem.WINDOWS2003])
def test_windows_scripts_name_every_step(system: OperatingSystem) -> None:
    text = write_script(_wish(system))
    assert "192.0.2.10" in text
    assert all(word in text for word in ("check", "apply", "undo"))


def test_a_batch_file_goes_to_labels_that_are_there_and_undoes_what_it_noted() -> None:
    lines = write_script(_wish(OperatingSystem.WINDOWS2003)).split("\r\n")
    labels = {line[1:] for line in lines if line.startswith(":")}
    gone = {word for line in lines for word in re.findall(r"(?:goto |call :)(\w+)", line)}
    assert gone <= labels
    failed = lines.index(":back")
    assert any("FAILED" in line and "goto back" in line for line in lines[:failed])
    assert "if not defined did1 goto kept1" in lines[failed:]
    undo = lines[lines.index(":undo") :]
    assert undo[1] == 'if not exist "%state%\\alias-192.0.2.10" goto past1'
    noted = lines.index('echo.>"%state%\\alias-192.0.2.10"')
    assert noted < next(n for n, line in enumerate(lines) if "add address" in line)


def test_quotes_survive_in_powershell() -> None:
    step = Step("a", "it's a step", "why", *((Command.powershell("Get-It 'x'"),),) * 3)
    text = powershell.script(_wish(OperatingSystem.WINDOWS), Plan((step,)))
    assert "What = 'it''s a step'" in text
    assert "Check = { (Get-It 'x') }" in text


def test_a_powershell_script_undoes_nothing_while_another_ones_steps_are_there() -> None:
    """Its notes are believed only if administrators own them."""
    _, _, undo = write_script(_wish(OperatingSystem.WINDOWS)).partition("if ($Job -eq 'undo')")
    assert undo.index("$Foreign = ") < undo.index("exit 1") < undo.index("Undo-Steps")
    text = write_script(_wish(OperatingSystem.WINDOWS))
    for function in ("function Get-Done", "function Set-Done"):
        assert "GetOwner" in text.partition(function)[2].partition("$State)")[0]


def test_a_powershell_script_says_that_windows_2008_is_too_old() -> None:
    before, _, _ = write_script(_wish(OperatingSystem.WINDOWS)).partition("$Steps = @(")
    assert "needs Windows Server 2012 or later'\n    exit 2" in before


def test_nothing_to_do_is_said() -> None:
    server = Server("s1", ())
    with pytest.raises(UsageError, match="nothing to do"):
        write_script(Wish(server, ()))


class _Script:
    """The script of a Linux server, in a laboratory host; its state is the test's."""

    def __init__(self, lab: Lab, directory: Path, silence: Silence = Silence.AUTO) -> None:
        self.host: Host = lab.host("server")
        self.host.ip("link", "set", "lo", "up")
        lab.segment("lan")
        lab.join(self.host, "lan", addresses=["192.0.2.21/24"])
        self.state = directory / "state"
        self.path = directory / "shunt-s1.sh"
        self.write(_wish(persist=False, silence=silence))

    def write(self, wish: Wish) -> None:
        """Write the script, perhaps anew for another wish."""
        self.path.write_text(write_script(wish).replace("/var/lib/shunt", str(self.state)))

    def run(self, job: str) -> tuple[int, str]:
        done = self.host.run(["sh", str(self.path), job], check=False)
        assert "not found" not in done.stderr, done.stderr
        return done.status, done.stdout


@pytest.mark.lab
@pytest.mark.parametrize("silence", [Silence.AUTO, Silence.NFT, Silence.REDIRECT])
def test_check_apply_undo_on_a_real_kernel(lab: Lab, tmp_path: Path, silence: Silence) -> None:
    script = _Script(lab, tmp_path, silence)
    script.host.sysctl("net.ipv4.conf.all.arp_announce", "1")
    before = state(script.host)
    assert script.run("check")[0] == 1
    assert script.run("apply")[0] == 0
    status, said = script.run("check")
    assert (status, "missing" in said) == (0, False)
    applied = state(script.host)
    assert "do:" not in script.run("apply")[1]
    assert state(script.host) == applied
    assert script.run("undo")[0] == 0
    assert state(script.host) == before
    assert not script.state.exists()


@pytest.mark.lab
def test_a_script_undoes_only_what_it_did(lab: Lab, tmp_path: Path) -> None:
    script = _Script(lab, tmp_path)
    script.host.sysctl("net.ipv4.conf.all.arp_ignore", "1")
    script.host.ip("address", "add", "192.0.2.10/32", "dev", "lo", "scope", "host")
    before = state(script.host)
    script.run("apply")
    script.run("undo")
    assert state(script.host) == before


@pytest.mark.lab
def test_a_script_that_fails_goes_back(lab: Lab, tmp_path: Path) -> None:
    script = _Script(lab, tmp_path)
    script.host.sysctl("net.ipv6.conf.lo.disable_ipv6", "1")  # the last alias is refused
    before = state(script.host)
    status, said = script.run("apply")
    assert status == 1
    assert "undo:" in said
    assert state(script.host) == before


@pytest.mark.lab
@pytest.mark.parametrize("last", [("192.0.2.9", "192.0.2.10"), ("192.0.2.9",)])
def test_undo_takes_back_what_every_script_for_the_server_did(
    lab: Lab, tmp_path: Path, last: tuple[str, ...]
) -> None:
    """Steps are known by their names: their numbers differ from script to script."""
    script = _Script(lab, tmp_path)
    before = state(script.host)
    wish = _wish(persist=False)
    script.write(replace(wish, clusters=ADDRESSES[:1]))
    assert script.run("apply")[0] == 0
    script.write(replace(wish, clusters=tuple(ip_address(text) for text in last)))
    assert script.run("apply")[0] == 0
    assert script.run("check")[0] == 0
    status, said = script.run("undo")
    assert (status, "add 192.0.2.10/32" in said) == (0, True)
    assert said.rindex("undo:    add") < said.index("arp_ignore")  # silence goes last
    assert state(script.host) == before
    assert not script.state.exists()


def _ip(script: _Script, *words: str) -> str:
    return script.host.run(["ip", *words]).stdout


@pytest.mark.lab
@pytest.mark.parametrize(
    "trap",
    [
        "address add 192.0.2.10/24 dev lo",
        "address add 192.0.2.10/24 brd 192.0.2.255 dev lo label lo:dsr",
        "address add 2001:db8::10/64 dev lo",
        "route add local 192.0.2.0/24 dev lo",
        "-6 route add local 2001:db8::/64 dev lo",
    ],
)
def test_a_script_finds_wide_masks_and_extra_routes(lab: Lab, tmp_path: Path, trap: str) -> None:
    """They are noted, taken away, and given back as they were."""
    script = _Script(lab, tmp_path)
    script.host.ip(*trap.split())
    before = state(script.host)
    assert script.run("check")[0] == 1
    assert script.run("apply")[0] == 0
    assert script.run("check")[0] == 0
    show = ("route", "show", "table", "all")
    routes = _ip(script, *show) + _ip(script, "-6", *show)
    for row in ("local 192.0.2.0/24", "local 2001:db8::/64", "2001:db8::/64 dev lo"):
        assert row not in routes
    assert script.run("undo")[0] == 0
    assert state(script.host) == before
    assert not script.state.exists()


@pytest.mark.lab
def test_a_script_takes_no_address_with_a_wide_mask(lab: Lab, tmp_path: Path) -> None:
    script = _Script(lab, tmp_path)
    for address in ("192.0.2.10", "192.0.2.77", "192.0.2.78"):
        script.host.ip("address", "add", f"{address}/24", "dev", "lo")
    script.run("apply")
    shown = _ip(script, "-4", "address", "show", "dev", "lo")
    assert "192.0.2.10/24" not in shown
    assert "192.0.2.77/24" in shown
    assert "192.0.2.78/24" in shown
    key = "net/ipv4/conf/lo/promote_secondaries"
    assert script.host.run(["cat", f"/proc/sys/{key}"]).stdout == "0\n"


@pytest.mark.lab
def test_a_done_server_with_a_wide_mask_beside_is_not_right(lab: Lab, tmp_path: Path) -> None:
    script = _Script(lab, tmp_path)
    assert script.run("apply")[0] == 0
    script.host.ip("address", "add", "192.0.2.10/24", "dev", "lo")
    status, said = script.run("check")
    assert (status, said.count("missing:")) == (1, 2)  # the mask, and the route that it made
    assert script.run("apply")[0] == 0
    assert "192.0.2.10/24" not in _ip(script, "address", "show", "dev", "lo")


@pytest.mark.lab
@pytest.mark.parametrize("name", ["eth0", "dummy0", "lounge"])
def test_an_address_on_a_wire_stops_a_script(lab: Lab, tmp_path: Path, name: str) -> None:
    """Whatever the card is called."""
    script = _Script(lab, tmp_path)
    script.host.ip("link", "set", "eth0", "name", name)
    script.host.ip("address", "add", "192.0.2.10/32", "dev", name)
    before = state(script.host)
    assert script.run("check")[0] == 1
    assert script.run("apply")[0] == 1
    assert state(script.host) == before


@pytest.mark.parametrize("step", ["a_b", "persist:/etc/x y", "a%b", "née", "alias:2001:db8::1"])
def test_the_name_of_a_step_is_part_of_a_files_name(step: str) -> None:
    name = sh._name(step)
    assert not set("/_ *?[']\"") & set(name)
    assert unquote(name) == step


def test_usage(tmp_path: Path) -> None:
    path = tmp_path / "s.sh"
    path.write_text(write_script(_wish()))
    done = subprocess.run(["sh", str(path)], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "usage:" in done.stderr
