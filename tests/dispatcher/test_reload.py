"""A changed file is taken up without a lost request; a bad one changes nothing and is refused."""

from __future__ import annotations

import grp
import json
import os
import stat
from typing import TYPE_CHECKING

import pytest

from shunt.errors import UsageError
from shunt.lab import topology
from shunt.lab.topology import let_transmit
from shunt.network.frames import Frame
from shunt.network.frames.arp import Arp
from shunt.network.packets import PacketSocket
from tests.dispatcher.load import Load
from tests.dispatcher.scene import FOUR, OWN, SIX, Scene, configuration, eventually

if TYPE_CHECKING:
    from collections.abc import Iterator

    from shunt.model.addresses import Mac

pytestmark = [pytest.mark.lab, pytest.mark.bpf]
ALL, TWO = {"a": 10, "b": 20, "c": 30}, {"a": 10, "b": 20}


@pytest.fixture(scope="module")
def laboratory() -> Iterator[Scene]:
    with Scene.made() as made:
        made.lab.segment("spare")
        made.lab.join(made.dispatcher, "spare", interface="eth1", addresses=["198.51.100.2/24"])
        let_transmit(made.lab, made.dispatcher, "eth1")
        made.lab.join(made.dispatcher, "spare", interface="eth2")
        made.lab.join(made.lab.host("spare1"), "spare")
        made.up(configuration(ALL))
        yield made


@pytest.fixture
def scene(laboratory: Scene) -> Scene:
    """The laboratory, dispatching by the first file."""
    laboratory.reload(configuration(ALL))
    return laboratory


def shape(scene: Scene) -> dict[str, object]:
    """Return what a refused reload must not change."""
    status = scene.ask("status")
    return {
        "services": [
            (s["name"], [(r["server"], r["weight"], r["share"]) for r in s["servers"]])
            for s in status["services"]
        ],
        "interfaces": status["interfaces"],
        "program": status["program"],
    }


def test_servers_and_clusters_come_and_go_under_load(scene: Scene) -> None:
    with Load(scene, 6) as load:
        found = scene.reload(configuration(TWO))
        assert found["moved"] > 0
        leaving = scene.servers()[OWN["c"]]
        assert (leaving["weight"], leaving["share"]) == (None, 0)
        assert leaving["reason"] == "left the service: its flows finish"
        scene.reload(configuration(ALL, clusters=(FOUR,)))
        assert {s["address"] for s in scene.ask("status")["services"]} == {str(FOUR)}
        scene.reload(configuration({"c": 1}))
        assert scene.fetch(20, SIX) == {"c": 20}
        scene.reload(configuration(ALL))
        assert scene.fetch(60).keys() == scene.fetch(60, SIX).keys() == ALL.keys()
    assert load.result.errors == 0
    assert load.result.requests > 1000


def test_a_cluster_that_is_removed_is_answered_for_no_more(scene: Scene) -> None:
    def heard() -> bool:
        done = scene.client.run(["ping", "-n", "-c1", "-W1", str(SIX)], check=False)
        return done.status == 0

    assert heard()
    scene.reload(configuration(ALL, clusters=(FOUR,)))
    assert not heard()
    scene.reload(configuration(ALL))
    assert heard()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("clusters: [\n", "shunt.yaml:"),
        (configuration(ALL).replace("weight", "wieght").replace("a: 10", "a: ten"), "ten"),
        (configuration(ALL).replace("port: 80", "port: 70000"), "70000"),
        (configuration(ALL).replace("c: 30", "d: 30", 1), "`d`"),
        (configuration(ALL).replace("interface: eth0", "interface: eth9"), "eth9"),
        (configuration(ALL, clusters=(FOUR, type(FOUR)("192.0.2.2"))), "192.0.2.2/24 dev eth0"),
        (configuration(ALL).replace("secret", "group: nobodies\n  secret"), "nobodies"),
    ],
    ids=["no YAML", "bad weight", "bad port", "no such server", "no interface", "held", "group"],
)
def test_a_bad_file_is_refused_and_nothing_changes(scene: Scene, text: str, words: str) -> None:
    before = shape(scene)
    scene.file.write_text(text)
    refused = scene.shunt("reload")
    assert refused.status == 2, refused.stderr
    assert words in refused.stderr
    assert "Traceback" not in refused.stderr
    assert shape(scene) == before
    scene.fetch(20)


def test_a_file_that_is_gone_is_refused(scene: Scene) -> None:
    before = shape(scene)
    scene.file.unlink()
    with pytest.raises(UsageError, match=r"shunt\.yaml"):
        scene.ask("reload")
    assert shape(scene) == before


def test_an_interface_that_is_someone_elses_is_refused_and_nothing_changes(scene: Scene) -> None:
    """Also the servers that the same file would have changed stay as they were."""
    program = str(topology._PASS_PROGRAM)
    taken = ("link", "set", "dev", "eth1")
    scene.dispatcher.ip(*taken, "xdpgeneric", "object", program, "section", "xdp.frags")
    try:
        before = shape(scene)
        scene.file.write_text(configuration(TWO, dispatcher="interface: [eth2, eth0, eth1]"))
        refused = scene.shunt("reload")
        assert refused.status == 2, refused.stderr
        assert "eth1 already carries XDP program" in refused.stderr
        assert scene.carried("eth2") is None, "nor was the one before it kept"
        assert shape(scene) == before
        scene.ask("weight", server="a", weight=10)
        assert shape(scene) == before | {"services": shape(scene)["services"]}
        assert scene.servers()["c"]["weight"] == 30, "the refused file is forgotten"
        scene.ask("weight", server="a", weight=None)
    finally:
        scene.dispatcher.ip(*taken, "xdpgeneric", "off")


def claims(heard: PacketSocket) -> set[Mac]:
    """Return who has claimed the IPv4 cluster address by ARP since the last time."""
    found = set()
    while (frame := heard.receive_now()) is not None:
        packet = frame.parsed()
        assert isinstance(packet, Frame)
        if isinstance(packet.network, Arp) and packet.network.sender == FOUR:
            found.add(packet.network.sender_mac)
    return found


def test_interfaces_come_and_go(scene: Scene) -> None:
    spare = scene.lab.hosts["spare1"]
    scene.reload(configuration(ALL, dispatcher="interface: [eth0, eth1]\n  announce: 1"))
    assert scene.carried("eth1") == scene.carried("eth0") is not None
    heard = spare.call(lambda: PacketSocket("eth0"))
    with heard:
        eventually(
            lambda: claims(heard) == {scene.dispatcher.interface("eth1").mac}, "it is announced"
        )
    scene.reload(configuration(ALL))
    assert scene.carried("eth1") is None
    assert scene.carried("eth0") is not None
    scene.fetch(20)


def test_the_command_says_what_it_did(scene: Scene) -> None:
    scene.file.write_text(configuration(TWO))
    done = scene.shunt("reload", "--json")
    assert done.status == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["services"] == 6
    assert found["moved"] > 0
    again = scene.shunt("reload")
    assert again.stdout.strip() == "reloaded: 6 services; 0 slots changed hands"


def test_a_server_may_change_its_address(scene: Scene) -> None:
    """Under one name another machine: its flows are others, so old ones finish where they are."""
    swapped = {**OWN, "a": OWN["b"], "b": OWN["a"]}
    scene.reload(configuration(TWO, addresses=swapped))
    rows = scene.servers()
    assert (rows["a"]["address"], rows["b"]["address"]) == (OWN["b"], OWN["a"])
    shares = scene.fetch(90)
    assert shares["a"] > shares["b"], "nginx on .21 is `a` in the laboratory, and has 20 now"


def test_the_group_that_may_command_it_can_be_changed(scene: Scene) -> None:
    def owner() -> tuple[int, int]:
        found = scene.places.socket.stat()
        return stat.S_IMODE(found.st_mode), found.st_gid

    group = grp.getgrall()[-1]
    assert owner() == (0o600, os.getegid())
    scene.reload(configuration(ALL, dispatcher=f"interface: eth0\n  group: {group.gr_name}"))
    assert owner() == (0o660, group.gr_gid)
    scene.reload(configuration(ALL))
    assert owner() == (0o600, os.getegid())


def test_an_interface_that_was_made_anew_is_taken_up(scene: Scene) -> None:
    both = configuration(ALL, dispatcher="interface: [eth0, eth2]")
    scene.reload(both)
    carried = scene.carried("eth2")
    assert carried is not None
    scene.dispatcher.ip("link", "delete", "eth2")
    with pytest.raises(UsageError, match="there is no interface eth2"):
        scene.reload(both)
    scene.lab.join(scene.dispatcher, "spare", interface="eth2")
    scene.reload(both)
    assert scene.carried("eth2") == carried
    scene.fetch(20)


def test_an_interface_with_a_dot_is_served_also_by_a_new_name(scene: Scene) -> None:
    """VLANs have such names by custom; the bpf filesystem keeps names with a dot for itself."""
    scene.lab.join(scene.dispatcher, "spare", interface="eth5.100")
    scene.reload(configuration(ALL, dispatcher="interface: [eth0, eth5.100]"))
    carried = scene.carried("eth5.100")
    assert carried == scene.carried("eth0") is not None
    assert "eth5.100" in scene.ask("status")["interfaces"]
    scene.dispatcher.ip("link", "set", "dev", "eth5.100", "down")
    scene.dispatcher.ip("link", "set", "dev", "eth5.100", "name", "lan.5")
    scene.dispatcher.ip("link", "set", "dev", "lan.5", "up")
    scene.reload(configuration(ALL, dispatcher="interface: [eth0, lan.5]"))
    assert scene.carried("lan.5") == carried
    assert scene.ask("status")["interfaces"].keys() == {"eth0", "lan.5"}
    scene.reload(configuration(ALL))
    assert scene.carried("lan.5") is None
    scene.fetch(20)


def test_an_interface_that_was_made_anew_takes_requests_without_a_word(scene: Scene) -> None:
    """Its number is far beyond those that there were at the start: their array has to grow."""
    scene.reload(configuration(ALL, dispatcher="interface: [eth0, eth2]"))
    carried = scene.carried("eth2")
    scene.dispatcher.ip("link", "delete", "eth2")
    eventually(lambda: "is gone" in scene.said(), "the loss is said")
    scene.dispatcher.ip(
        *("link", "add", "name", "eth2", "index", "5000", "up", "type", "veth"),
        *("peer", "name", "again", "netns", scene.lab.segments["spare"].namespace),
    )
    eventually(lambda: "made anew" in scene.said(), "the return is said")
    eventually(
        lambda: scene.carried("eth2") not in {None, carried}, "the larger array brings a program"
    )
    assert scene.carried("eth2") == scene.carried("eth0")
    scene.fetch(20)


def test_a_change_at_run_time_goes_with_its_server(scene: Scene) -> None:
    assert scene.shunt("server", "quiesce", "a").status == 0
    without = {name: weight for name, weight in ALL.items() if name != "a"}
    scene.reload(configuration(without))
    scene.reload(configuration(ALL))
    assert scene.servers()["a"]["weight"] == ALL["a"]
    scene.kill()
    scene.up()
    assert scene.servers()["a"]["weight"] == ALL["a"], "nor does it come back by a restart"


def test_what_a_reload_cannot_change_is_said_and_shown(scene: Scene) -> None:
    scene.reload(configuration(ALL, options=", sticky: {time: 90}"))
    assert "kept from before" in scene.said()
    assert "sticky of 192.0.2.10:80/tcp" in scene.said()
    differs = scene.shunt("config", "diff")
    assert differs.status == 1
    assert (
        "as it was until `shunt down` and `shunt up`: sticky of 192.0.2.10:80/tcp" in differs.stdout
    )
    scene.reload(configuration(ALL))
    assert scene.shunt("config", "diff").status == 0
    scene.reload(configuration(ALL, dispatcher="interface: eth0\n  exceptions: 4096"))
    assert "dispatcher.exceptions" in scene.said()
    assert "dispatcher.exceptions" in scene.shunt("config", "diff").stdout


def test_flows_of_what_there_is_not_are_a_mistake(scene: Scene) -> None:
    for words in (("--server", "nobody"), ("--service", "192.0.2.10:81/tcp")):
        refused = scene.shunt("flows", *words)
        assert refused.status == 2
        assert "there is no ser" in refused.stderr
