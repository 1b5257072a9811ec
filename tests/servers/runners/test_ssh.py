"""SSH for real: fifty servers in namespaces at once, and each way in which one can be bad."""

from __future__ import annotations

import asyncio
import socket
import tempfile
from dataclasses import replace
from ipaddress import IPv4Address
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from shunt.errors import RemoteError
from shunt.model.config import Server
from shunt.model.via import Endpoint
from shunt.servers import apply
from shunt.servers.fleet import Outcome, each
from shunt.servers.runners.base import Access
from shunt.servers.runners.opening import runner_for
from shunt.servers.runners.ssh import SshRunner
from shunt.servers.steps import Command, Output
from shunt.servers.wish import Wish
from tests.servers.linux.setting_up import state
from tests.servers.runners import sshd

if TYPE_CHECKING:
    from collections.abc import Iterator

    from shunt.lab.host import Host
    from shunt.lab.lab import Lab
    from shunt.servers.apply import Event

pytestmark = pytest.mark.lab
CLUSTER = IPv4Address("10.9.0.200")
USER = "nobody"


def quiet(_: Event) -> None:
    """Report nothing."""


@pytest.fixture(scope="module")
def keys() -> Iterator[sshd.Keys]:
    with tempfile.TemporaryDirectory(prefix="shunt-keys-") as directory:
        yield sshd.Keys(Path(directory))


@pytest.fixture
def client(lab: Lab) -> Iterator[Host]:
    """A host of the segment; the test itself runs inside it."""
    lab.segment("lan")
    host = lab.host("client")
    host.ip("link", "set", "lo", "up")
    lab.join(host, "lan", addresses=["10.9.0.1/16"])
    with host.inside():
        yield host


async def _listening(address: str) -> None:
    """Wait until somebody listens there."""
    for _ in range(200):
        try:
            _, writer = await asyncio.open_connection(address, 22)
        except ConnectionRefusedError:
            await asyncio.sleep(0.05)
            continue
        writer.close()
        return
    raise AssertionError(f"nobody listens on {address}")


def _server(
    lab: Lab, keys: sshd.Keys, number: int, *, key: Path | None = None, sudo: bool = False
) -> Server:
    host = lab.host(f"s{number}")
    host.ip("link", "set", "lo", "up")
    address = f"10.9.1.{number}"
    lab.join(host, "lan", addresses=[f"{address}/16"])
    sshd.start(host, keys, key=key, sudo=sudo)
    # A namespace has the file system of all others, so the record goes by the namespace's name.
    return Server(
        host.name, (IPv4Address(address),), via=f"ssh://root@{address}", netns=host.namespace
    )


def _access(keys: sshd.Keys, directory: Path, known: str = "*") -> Access:
    file = directory / "known_hosts"
    file.write_text(f"{known} {keys.public(keys.host)}")
    return Access(timeout=20, connect_timeout=20, identities=(keys.user,), known_hosts=file)


async def test_fifty_servers_at_once(
    lab: Lab, client: Host, keys: sshd.Keys, tmp_path: Path
) -> None:
    servers = [_server(lab, keys, number) for number in range(1, 51)]
    for server in servers:
        await _listening(str(server.addresses[0]))
    wishes = [Wish(server, (CLUSTER,), persist=False) for server in servers]
    told: list[str] = []

    def finished(outcome: Outcome[apply.Result]) -> None:
        told.append(outcome.server)

    access = _access(keys, tmp_path)
    outcomes = await each(
        wishes,
        lambda runner, wish: apply.apply(runner, wish, quiet),
        access,
        at_once=50,
        finished=finished,
    )
    assert all(outcome.value and outcome.value.now.settled for outcome in outcomes), outcomes
    assert sorted(told) == sorted(server.name for server in servers)
    assert [outcome.server for outcome in outcomes] == [server.name for server in servers]
    for server in servers:
        assert f" {CLUSTER}/32 " in lab.hosts[server.name].ip("address", "show", "dev", "lo")
    removed = await each(
        wishes,
        lambda runner, wish: apply.remove(runner, wish, quiet),
        access,
        at_once=10,
        finished=lambda _: None,
    )
    assert not any(outcome.error for outcome in removed)


async def test_bad_hosts_do_not_stop_the_good_one(
    lab: Lab, client: Host, keys: sshd.Keys, tmp_path: Path
) -> None:
    good = _server(lab, keys, 1)
    wrong_key = _server(lab, keys, 2, key=keys.wrong)
    no_sudo = replace(_server(lab, keys, 3), via=f"ssh://{USER}@10.9.1.3")
    silent = lab.host("s4")
    lab.join(silent, "lan", addresses=["10.9.1.4/16"])
    hanging = Server("s4", (IPv4Address("10.9.1.4"),), via="ssh://root@10.9.1.4")
    absent = Server("s5", (IPv4Address("10.9.1.5"),), via="ssh://root@10.9.1.5")
    closed = Server("s6", (IPv4Address("10.9.0.1"),), via="ssh://root@10.9.0.1")
    for number in (1, 2, 3):
        await _listening(f"10.9.1.{number}")
    listener = silent.call(lambda: socket.create_server(("10.9.1.4", 22)))  # accepts, says nothing
    access = replace(_access(keys, tmp_path), connect_timeout=4.0)
    with listener:
        outcomes = await each(
            [
                Wish(s, (CLUSTER,), persist=False)
                for s in (good, wrong_key, no_sudo, hanging, absent, closed)
            ],
            lambda runner, wish: apply.examine(runner, wish, quiet),
            access,
            at_once=6,
            finished=lambda _: None,
        )
    messages = {o.server: o.error.message if o.error else "" for o in outcomes}
    assert messages["s1"] == ""
    assert "host key is not the one that is known" in messages["s2"]
    assert "may not use sudo without a password" in messages["s3"]
    assert "does not answer within 4 seconds" in messages["s4"]
    assert "s5" in messages
    assert "10.9.1.5" in messages["s5"]
    assert "cannot be reached" in messages["s6"]


async def test_a_command_that_hangs_is_given_up(
    lab: Lab, client: Host, keys: sshd.Keys, tmp_path: Path
) -> None:
    server = _server(lab, keys, 1)
    await _listening("10.9.1.1")
    access = replace(_access(keys, tmp_path), timeout=1.0)
    async with runner_for(server, access) as runner:
        with pytest.raises(RemoteError, match="took more than 1 seconds"):
            await runner.run(Command(("sleep", "60")))
        assert (await runner.run(Command(("echo", "still here")))).stdout == "still here\n"


@pytest.mark.parametrize("flood", ["yes", "yes >&2", "cat /dev/zero >&2"])
async def test_output_without_an_end_is_given_up_and_ended(
    lab: Lab, client: Host, keys: sshd.Keys, tmp_path: Path, flood: str
) -> None:
    server, pid = _server(lab, keys, 1), tmp_path / "pid"
    await _listening("10.9.1.1")
    async with runner_for(server, _access(keys, tmp_path)) as runner:
        with pytest.raises(RemoteError, match="printed more than 8 MiB and was given up") as caught:
            await runner.run(Command.sh(f"echo $$ > {pid}; {flood}"))
        assert type(caught.value) is RemoteError  # its end is proven
        assert _ended(lab.hosts["s1"], pid)
        assert (await runner.run(Command(("echo", "still here")))).stdout == "still here\n"


async def test_a_login_that_talks_without_an_end_is_given_up(
    lab: Lab, client: Host, keys: sshd.Keys, tmp_path: Path
) -> None:
    """What a shell's own settings print comes before anything of ours has begun."""
    server = _server(lab, keys, 1)
    authorized = keys.authorized.read_text()
    await _listening("10.9.1.1")
    try:
        for flood in ("yes >&2", "cat /dev/zero >&2"):
            keys.authorized.write_text(f'command="{flood}" {authorized}')
            with pytest.raises(RemoteError, match="printed more than 8 MiB"):
                async with runner_for(server, _access(keys, tmp_path)) as runner:
                    await runner.run(Command(("true",)))
    finally:
        keys.authorized.write_text(authorized)


async def test_a_key_that_is_not_accepted(
    lab: Lab, client: Host, keys: sshd.Keys, tmp_path: Path
) -> None:
    server = _server(lab, keys, 1)
    await _listening("10.9.1.1")
    access = replace(_access(keys, tmp_path), identities=(keys.wrong,))
    with pytest.raises(RemoteError, match="no key was accepted"):
        async with runner_for(server, access):
            pass


async def test_by_way_of_another_host(
    lab: Lab, client: Host, keys: sshd.Keys, tmp_path: Path
) -> None:
    _server(lab, keys, 1)
    await _listening("10.9.1.1")
    inner = lab.host("inner")
    inner.ip("link", "set", "lo", "up")
    lab.segment("far")
    lab.join(lab.hosts["s1"], "far", interface="eth1", addresses=["10.8.0.1/24"])
    lab.join(inner, "far", addresses=["10.8.0.2/24"])
    sshd.start(inner, keys)
    server = Server("inner", (IPv4Address("10.8.0.2"),), via="ssh://root@10.8.0.2")
    access = replace(_access(keys, tmp_path), jump=Endpoint.parse("root@10.9.1.1"))
    async with runner_for(server, access) as runner:
        for _ in range(2):
            assert "10.8.0.2" in (await runner.run(Command(("ip", "-o", "address")))).stdout


def _ended(host: Host, file: Path) -> bool:
    """Return whether the process whose number is in `file` has ended; a zombie has."""
    state = f"grep -q '^State:[^Z]*$' /proc/$(cat {file})/status"
    return host.run(["sh", "-c", state], check=False).status != 0


@pytest.mark.parametrize("way", ["a child", "an orphan", "deaf", "another group"])
async def test_what_takes_too_long_is_ended_on_the_other_side(
    lab: Lab, client: Host, keys: sshd.Keys, tmp_path: Path, way: str
) -> None:
    server = _server(lab, keys, 1)
    await _listening("10.9.1.1")
    pid = tmp_path / "pid"
    sleeper = {
        "a child": f"sleep 61 & echo $! > {pid}; wait",
        "an orphan": f"( sleep 61 & echo $! > {pid} ); cat /dev/zero > /dev/null",
        "deaf": f"trap '' HUP INT TERM PIPE; echo $$ > {pid}; while :; do sleep 1; done",
        "another group": f"setsid sh -c 'echo $$ > {pid}; sleep 61'",
    }[way]
    access = replace(_access(keys, tmp_path), timeout=1.5)
    async with runner_for(server, access) as runner:
        with pytest.raises(RemoteError, match=r"took more than 1\.5 seconds") as caught:
            await runner.run(Command.sh(sleeper))
        assert type(caught.value) is RemoteError  # its end is proven
        assert _ended(lab.hosts["s1"], pid)


class _Slow(SshRunner):
    """Waits for ever before the command that has a certain text, and notes its shell's number."""

    def __init__(self, there: str, access: Access, netns: str, text: str, pid: Path) -> None:
        endpoint = Endpoint.parse(there)
        super().__init__(endpoint, access, jump=None, sudo=False, netns=netns, unix=True)
        self._text = text
        self._wait = f"echo $$ > {pid}; cat /dev/zero > /dev/null; "

    async def run(self, command: Command) -> Output:
        stdin = (command.stdin or "").replace(self._text, self._wait + self._text)
        return await super().run(replace(command, stdin=stdin))


async def test_a_step_that_takes_too_long_is_ended_before_it_is_undone(
    lab: Lab, client: Host, keys: sshd.Keys, tmp_path: Path
) -> None:
    server = _server(lab, keys, 1)
    await _listening("10.9.1.1")
    host, pid = lab.hosts["s1"], tmp_path / "pid"
    before = state(host)
    wish = Wish(server, (CLUSTER,), persist=False)
    access, step = replace(_access(keys, tmp_path), timeout=4), f"ip -4 address replace {CLUSTER}"
    async with _Slow("root@10.9.1.1", access, host.namespace, step, pid) as slow:
        with pytest.raises(RemoteError, match=r"took more than 4 .*; everything was undone"):
            await apply.apply(slow, wish, quiet)
        assert _ended(host, pid)
    assert state(host) == before


async def test_ctrl_c_ends_what_runs_there_and_gives_the_lock_back(
    lab: Lab, client: Host, keys: sshd.Keys, tmp_path: Path
) -> None:
    server = _server(lab, keys, 1)
    await _listening("10.9.1.1")
    host, pid = lab.hosts["s1"], tmp_path / "pid"
    before = state(host)
    wish = Wish(server, (CLUSTER,), persist=False)
    access, step = _access(keys, tmp_path), f"ip -4 address replace {CLUSTER}"
    async with _Slow("root@10.9.1.1", access, host.namespace, step, pid) as slow:
        task = asyncio.create_task(apply.apply(slow, wish, quiet))
        while not pid.exists() or not pid.read_text().endswith("\n"):  # noqa: ASYNC110 - a process writes it
            await asyncio.sleep(0.05)
        task.cancel()
        await asyncio.wait([task])
        assert task.cancelled()
        assert _ended(host, pid)
    async with runner_for(server, access) as runner:
        assert (await apply.remove(runner, wish, quiet)).now.settled
    assert state(host) == before


async def test_the_clients_settings_do_not_switch_the_check_off(
    lab: Lab, client: Host, keys: sshd.Keys, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = _server(lab, keys, 1)
    await _listening("10.9.1.1")
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / ".ssh").mkdir()
    (tmp_path / ".ssh/config").write_text(
        "Host *\nUserKnownHostsFile none\nGlobalKnownHostsFile none\nStrictHostKeyChecking no\n"
    )
    access = replace(_access(keys, tmp_path), known_hosts=None)

    async def told() -> str:
        try:
            async with runner_for(server, access):
                return "let in"
        except RemoteError as error:
            return error.message

    assert "nothing is known of this host's key" in await told()
    usual = tmp_path / ".ssh/known_hosts"
    usual.write_text(f"10.9.1.1 {keys.public(keys.wrong)}")
    assert "the host key is not the one that is known" in await told()
    usual.write_text(f"10.9.1.1 {keys.public(keys.host)}")
    assert await told() == "let in"
    usual.unlink()
    other = tmp_path / ".ssh/other"
    other.write_text(f"10.9.1.1 {keys.public(keys.host)}")
    (tmp_path / ".ssh/config").write_text("UserKnownHostsFile ~/.ssh/other\n")
    assert await told() == "let in"


async def test_by_way_of_sudo(lab: Lab, client: Host, keys: sshd.Keys, tmp_path: Path) -> None:
    server = replace(_server(lab, keys, 1, sudo=True), via=f"ssh://{USER}@10.9.1.1")
    await _listening("10.9.1.1")
    before, pid = state(lab.hosts["s1"]), tmp_path / "pid"
    wish = Wish(server, (CLUSTER,), persist=False)
    async with runner_for(server, _access(keys, tmp_path)) as runner:
        assert (await apply.apply(runner, wish, quiet)).now.settled
        assert (await apply.remove(runner, wish, quiet)).now.settled
    assert state(lab.hosts["s1"]) == before
    async with runner_for(server, replace(_access(keys, tmp_path), timeout=2.0)) as runner:
        with pytest.raises(RemoteError, match="took more than 2 seconds") as caught:
            await runner.run(Command.sh(f"sleep 61 & echo $! > {pid}; wait"))
        assert type(caught.value) is RemoteError
        assert _ended(lab.hosts["s1"], pid)
        left = await runner.run(Command.sh("ps -A -o args= | grep '[s]leep 61'"))
        assert left.stdout == ""


@pytest.mark.parametrize(
    ("status", "said", "message"),
    [
        (127, "sh: 1: exec: sudo: not found", "there is no sudo"),
        (1, "sudo: a password is required", "may not use sudo without a password"),
    ],
)
async def test_no_sudo_and_no_right_to_use_it_are_different(
    monkeypatch: pytest.MonkeyPatch, status: int, said: str, message: str
) -> None:
    async def run(*_: object, **__: object) -> Output:
        return Output("", said, status)

    monkeypatch.setattr(SshRunner, "_run", run)
    monkeypatch.setattr(SshRunner, "_connect", run)
    there = Endpoint.parse("nobody@192.0.2.1")
    with pytest.raises(RemoteError, match=message):
        async with SshRunner(there, Access(), jump=None, sudo=True, netns=None, unix=True):
            pass
