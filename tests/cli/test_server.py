"""`shunt server`: which servers, exit codes, what is printed."""

from __future__ import annotations

import io
import json
import os
import platform
import re
import shutil
import signal
import subprocess
import sys
from ipaddress import ip_address
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from shunt.cli.server import app
from shunt.cli.server_choice import Choice, wishes
from shunt.errors import HostError, UsageError
from shunt.model.config import Forward, OperatingSystem
from shunt.servers import fleet
from tests.cli.test_server_view import by_hand, right

if TYPE_CHECKING:
    from collections.abc import Iterator

    from shunt.lab.host import Host
    from shunt.lab.lab import Lab

CONFIG = """\
dispatcher: {interface: eth0}
clusters:
  web:
    address: [192.0.2.10, "2001:db8::10"]
    ports:
      - {port: 80, servers: [a, b]}
      - {port: 81, servers: [b], protocol: udp}
servers:
  a: {address: 192.0.2.21}
  b: {address: 192.0.2.22, os: freebsd, via: "ssh://root@192.0.2.22"}
"""


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "shunt.yaml"
    path.write_text(CONFIG)
    return path


def _run(*words: str) -> int:
    code = app(words, exit_on_error=False, print_error=False, result_action="return_value")
    assert isinstance(code, int)
    return code


def test_the_configuration_says_what_each_server_holds(config: Path) -> None:
    a, b = wishes((), Choice(config=config, all=True))
    assert [str(address) for address in a.clusters] == ["192.0.2.10", "2001:db8::10"]
    assert a.forward is Forward.MAC
    assert b.server.os is OperatingSystem.FREEBSD


def test_names_keep_their_order_and_come_once(config: Path) -> None:
    chosen = wishes(("b", "a", "b"), Choice(config=config))
    assert [wish.server.name for wish in chosen] == ["b", "a"]


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root: others are not warned")
def test_a_file_that_others_may_write_is_warned_of(
    config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    wishes(("a",), Choice(config=config))
    assert capsys.readouterr().err == ""
    config.chmod(0o666)
    wishes(("a",), Choice(config=config))
    assert f"is done as root, but anybody may write {config}" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("names", "fields", "message"),
    [
        ((), {}, "name the servers"),
        (("a",), {"all": True}, "name the servers"),
        (("z",), {}, "no server 'z'"),
        (("a",), {"local": True}, "stand alone"),
        (("a",), {"cluster": ("192.0.2.10",)}, "go with --local or --via"),
        (("a",), {"forward": Forward.NAT}, "go with --local or --via"),
        (("a",), {"only": True}, "go with --local or --via"),
        ((), {"local": True, "cluster": ("nonsense",)}, "is no address"),
        ((), {"local": True, "cluster": ("224.0.0.1",)}, "multicast"),
        ((), {"local": True, "cluster": ("127.0.0.1",)}, "loopback"),
        ((), {"local": True, "cluster": ("255.255.255.255",)}, "broadcast"),
        ((), {"local": True, "cluster": ("::",)}, "every other address"),
        ((), {"local": True, "own": ("0.0.0.0",)}, "no machine's address"),
        ((), {"local": True, "via": "ssh://a"}, "give one of them"),
        ((), {"via": "root@192.0.2.21"}, "--via: `root@192.0.2.21` is no way in; write local, ssh"),
    ],
)
def test_choices_that_make_no_sense(
    config: Path, names: tuple[str, ...], fields: dict[str, Any], message: str
) -> None:
    if "local" not in fields and "via" not in fields:
        fields = {**fields, "config": config}
    elif names:
        fields = {**fields, "local": True}
    with pytest.raises(UsageError, match=message):
        wishes(names, Choice(**fields))


@pytest.mark.parametrize("forward", Forward)
def test_the_forwarding_method_may_be_said_without_a_configuration(forward: Forward) -> None:
    (wish,) = wishes((), Choice(local=True, cluster=("192.0.2.10",), forward=forward))
    address = (ip_address("192.0.2.10"),)
    assert wish.forward is forward
    assert (wish.clusters, wish.bare) == (
        ((), address) if forward is Forward.NAT else (address, ())
    )


@pytest.mark.parametrize("option", [("--cluster", "192.0.2.10"), ("--forward", "nat"), ("--only",)])
def test_remove_is_for_everything(option: tuple[str, ...]) -> None:
    with pytest.raises(UsageError, match="takes back all that Shunt did"):
        _run("remove", "--local", *option)


@pytest.mark.parametrize(
    ("via", "same"),
    [
        ("local", "local"),
        ("ssh://root@h", "ssh://you@H:22?sudo=yes"),
        ("ssh://h?jump=j", "ssh://h?jump=j"),
    ],
)
def test_one_machine_is_not_two_servers(tmp_path: Path, via: str, same: str) -> None:
    path = tmp_path / "shunt.yaml"
    text = CONFIG.replace("a: {address: 192.0.2.21}", f'a: {{address: 192.0.2.21, via: "{via}"}}')
    path.write_text(text.replace("ssh://root@192.0.2.22", same))
    for choice in (Choice(config=path, all=True), Choice(config=path)):
        with pytest.raises(UsageError, match="servers a and b are one machine"):
            wishes(() if choice.all else ("a",), choice)
    path.write_text(text)
    assert len(wishes((), Choice(config=path, all=True))) == 2


def test_namespaces_of_one_machine_are_several_servers(tmp_path: Path) -> None:
    path = tmp_path / "shunt.yaml"
    text = CONFIG.replace("192.0.2.21}", "192.0.2.21, via: local, netns: a}")
    path.write_text(
        text.replace('os: freebsd, via: "ssh://root@192.0.2.22"', "via: local, netns: b")
    )
    assert len(wishes((), Choice(config=path, all=True))) == 2


def test_the_dispatcher_is_the_one_said_or_this_machine(config: Path, tmp_path: Path) -> None:
    said = Choice(config=config, all=True, dispatcher=("192.0.2.1",))
    assert [wish.dispatchers for wish in wishes((), said)] == [(ip_address("192.0.2.1"),)] * 2
    here = tmp_path / "here.yaml"
    here.write_text(CONFIG.replace("interface: eth0", "interface: lo"))
    (wish, _) = wishes((), Choice(config=here, all=True))
    assert ip_address("127.0.0.1") in wish.dispatchers


def test_a_cluster_address_is_needed() -> None:
    with pytest.raises(UsageError, match="name the cluster address"):
        _run("plan", "--local")


@pytest.mark.parametrize("option", ["--jobs", "--timeout", "--connect-timeout"])
def test_numbers_must_be_greater_than_nothing(option: str) -> None:
    with pytest.raises(UsageError, match="greater than 0"):
        _run("plan", "--local", "--cluster", "192.0.2.10", option, "0")


def test_a_server_without_a_way_in_is_done_by_hand(
    config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _run("plan", "a", "-c", str(config), "--json") == 3
    server = json.loads(capsys.readouterr().out)["servers"][0]
    assert server["state"] == "by hand"
    assert "shunt server script a" in server["error"]["hint"]


@pytest.mark.parametrize(("named", "told"), [(False, False), (True, True)])
def test_quiet_prints_nothing_where_all_that_was_asked_is_right(
    config: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    named: bool,
    told: bool,
) -> None:
    async def each(*_: object, **__: object) -> tuple[object, ...]:
        return right("a"), by_hand("b")

    monkeypatch.setattr(fleet, "each", each)
    status = _run("check", *(["a", "b"] if named else ["--all"]), "-c", str(config), "--quiet")
    assert bool(status) is told
    assert ("by hand" in capsys.readouterr().out) is told


@pytest.mark.parametrize("system", OperatingSystem)
def test_every_system_of_the_configuration_can_be_named(system: OperatingSystem) -> None:
    words = ("plan", "--via", "ssh://h", "--os", str(system))
    with pytest.raises(UsageError, match="name the cluster address"):
        _run(*words)


@pytest.mark.parametrize("command", ["weight", "quiesce", "unquiesce", "plan", "check", "apply"])
def test_the_list_says_what_each_command_is_for(
    command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    app(["--help"], result_action="return_value")
    assert re.search(rf"│ {command} +[A-Z]\w+ ", capsys.readouterr().out)


def test_a_machine_is_called_by_its_host() -> None:
    (wish,) = wishes((), Choice(via="ssh://root@web1:2222", cluster=("192.0.2.10",)))
    assert wish.server.name == "web1"


@pytest.mark.parametrize("option", ["--identity", "--known-hosts", "--ca"])
def test_files_must_be_there(option: str) -> None:
    with pytest.raises(UsageError, match="/none: there is no such file"):
        _run("plan", "--local", "--cluster", "192.0.2.10", option, "/none")


def test_the_host_to_go_through_must_be_one() -> None:
    with pytest.raises(UsageError, match="--jump: port `x`"):
        _run("plan", "--local", "--cluster", "192.0.2.10", "--jump", "a:x")


def test_winrm_needs_a_password(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SHUNT_WINRM_PASSWORD", raising=False)
    monkeypatch.setattr("sys.stdin", io.StringIO())
    with pytest.raises(UsageError, match="needs a password"):
        _run("plan", "--via", "winrm://admin@192.0.2.1", "--cluster", "192.0.2.10")


def test_changing_this_machine_needs_root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    for command in (("apply", "--cluster", "192.0.2.10"), ("remove",)):
        with pytest.raises(HostError, match="root is needed"):
            _run(*command, "--local")


def test_a_script_is_for_one_server(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(UsageError, match="for one server"):
        _run("script", "--all", "-c", str(config))
    assert _run("script", "a", "-c", str(config)) == 0
    assert capsys.readouterr().out.startswith("#!/bin/sh\n")


def _shunt(host: Host, *words: str) -> tuple[int, str, str]:
    script = [str(Path(sys.executable).with_name("shunt")), "server", *words]
    where = ["--local", "--netns", host.namespace]
    done = subprocess.run([*script, *where], capture_output=True, text=True, check=False)
    assert "Traceback" not in done.stderr
    return done.returncode, done.stdout, done.stderr


@pytest.fixture
def host(lab: Lab) -> Iterator[Host]:
    """A server on a segment; what Shunt did there and its record are taken back afterwards."""
    host = lab.host("server")
    host.ip("link", "set", "lo", "up")
    lab.segment("lan")
    lab.join(host, "lan", addresses=["192.0.2.21/24"])
    yield host
    assert _shunt(host, "remove")[0] == 0


@pytest.mark.lab
def test_a_server_of_nat_must_not_hold_the_address(host: Host) -> None:
    nat = ("--cluster", "192.0.2.10", "--forward", "nat")
    assert _shunt(host, "check", *nat)[0] == 0
    assert _shunt(host, "apply", "--cluster", "192.0.2.10")[0] == 0
    status, said, _ = _shunt(host, "plan", *nat)
    assert status == 1
    assert "undo  add 192.0.2.10/32 to lo" in said
    assert _shunt(host, "apply", *nat)[0] == 0
    assert "192.0.2.10" not in host.ip("address")

    host.ip("address", "add", "192.0.2.10/32", "dev", "lo")
    status, said, _ = _shunt(host, "apply", *nat)
    assert status == 1
    assert "192.0.2.10 is held by lo, but its service is of kind nat" in said
    assert "192.0.2.10" in host.ip("address")


@pytest.mark.lab
def test_a_server_of_encap_ends_the_tunnel(host: Host) -> None:
    encap = ("--cluster", "192.0.2.10", "--cluster", "2001:db8::10", "--forward", "encap")
    status, said, _ = _shunt(host, "plan", *encap, "--own", "192.0.2.21")
    assert status == 1
    assert all(f"bring up {device}, which unpacks" in said for device in ("tunl0", "sit0"))
    assert "set net.ipv4.conf.tunl0.rp_filter to 2" in said
    assert "advmss 1440" in said


@pytest.mark.lab
def test_a_life_from_plan_to_remove(host: Host) -> None:
    cluster = ("--cluster", "192.0.2.10")

    status, said, _ = _shunt(host, "plan", *cluster)
    assert status == 1
    assert "$ ip -4 address replace 192.0.2.10/32 dev lo scope host" in said
    assert _shunt(host, "apply", *cluster, "--dry-run")[0] == 1
    assert "192.0.2.10" not in host.ip("address")

    status, said, progress = _shunt(host, "apply", *cluster)
    assert status == 0
    assert "done  add 192.0.2.10/32 to lo" in said
    assert "doing add 192.0.2.10/32 to lo" in progress
    status, said, _ = _shunt(host, "check", *cluster, "--json")
    assert (status, json.loads(said)["servers"][0]["state"]) == (0, "right")

    host.ip("address", "del", "192.0.2.10/32", "dev", "lo")
    status, said, _ = _shunt(host, "check", *cluster)
    assert status == 1
    assert "add 192.0.2.10/32 to lo" in said

    status, said, _ = _shunt(host, "remove", "--dry-run")
    assert status == 1
    assert "undo  set net.ipv4.conf.all.arp_ignore" in said
    assert _shunt(host, "remove")[0] == 0
    assert host.sysctl("net.ipv4.conf.all.arp_ignore") == "0"
    assert _shunt(host, "remove")[:2][0] == 0


@pytest.mark.lab
def test_a_second_address_does_not_take_the_first_one_back(host: Host) -> None:
    assert _shunt(host, "apply", "--cluster", "192.0.2.10")[0] == 0
    for command in ("apply", "check"):
        status, said, _ = _shunt(host, command, "--cluster", "192.0.2.11")
        assert status == 1
        assert "Shunt has set up this server for 192.0.2.10, too" in said
    assert "192.0.2.10/32" in host.ip("address")
    assert _shunt(host, "apply", "--cluster", "192.0.2.10", "--cluster", "192.0.2.11")[0] == 0
    assert _shunt(host, "apply", "--cluster", "192.0.2.11", "--only")[0] == 0
    assert "192.0.2.10/32" not in host.ip("address")


@pytest.mark.lab
def test_a_route_that_swallows_the_dispatcher_is_told(host: Host) -> None:
    host.ip("route", "add", "192.0.2.0/28", "dev", "lo")
    words = ("--cluster", "192.0.2.10", "--dispatcher", "192.0.2.1")
    assert "the dispatcher 192.0.2.1" not in _shunt(host, "plan", *words[:2])[1]
    assert "the dispatcher 192.0.2.1" in _shunt(host, "plan", *words)[1]


@pytest.mark.lab
def test_remove_tells_of_an_alias_that_is_loud_again(host: Host) -> None:
    host.ip("address", "add", "192.0.2.10/32", "dev", "lo")
    assert _shunt(host, "apply", "--cluster", "192.0.2.10")[0] == 0
    status, said, _ = _shunt(host, "remove")
    assert status == 1
    assert "192.0.2.10 is still held here, and answered for" in said


@pytest.mark.lab
def test_ctrl_c_says_what_was_not_finished_and_leaves_no_lock(host: Host, tmp_path: Path) -> None:
    words = ("--cluster", "192.0.2.10", "--local", "--netns", host.namespace)
    shunt = str(Path(sys.executable).with_name("shunt"))
    slow = tmp_path / "ip"
    slow.write_text(
        f'#!/bin/sh\ncase $* in *replace*) exec sleep 600 ;; esac\nexec {shutil.which("ip")} "$@"\n'
    )
    slow.chmod(0o755)
    with subprocess.Popen(
        [shunt, "server", "apply", *words],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"},
    ) as process:
        assert process.stderr is not None
        said = ""
        for line in process.stderr:
            said += line
            if "doing add 192.0.2.10/32" in line:
                process.send_signal(signal.SIGINT)
    assert process.returncode == 130
    assert f"interrupted before the end of {platform.node()}" in said
    assert "`apply` again, or `remove`" in said
    assert "shunt: interrupted" in said
    assert _shunt(host, "apply", "--cluster", "192.0.2.10")[0] == 0
