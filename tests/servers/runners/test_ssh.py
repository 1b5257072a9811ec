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
from shunt.servers.steps import Command
from shunt.servers.wish import Wish
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


def _server(lab: Lab, keys: sshd.Keys, number: int, *, key: Path | None = None) -> Server:
    host = lab.host(f"s{number}")
    host.ip("link", "set", "lo", "up")
    address = f"10.9.1.{number}"
    lab.join(host, "lan", addresses=[f"{address}/16"])
    sshd.start(host, keys, key=key)
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
    assert "may not use sudo" in messages["s3"]
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
