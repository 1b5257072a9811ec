"""Behind a switch that snoops MLD: it hands solicitations to those alone who joined the group."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.dispatcher.scene import SIX, Scene, configuration, eventually

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [pytest.mark.lab, pytest.mark.bpf]
FILE = configuration({"a": 10, "b": 20, "c": 30})
GROUP = "ff02::1:ff00:10"
ANOTHER = type(SIX)("2001:db8::abcd:10")
OTHER_GROUP = "ff02::1:ffcd:10"
HUNDREDTHS = "100"  # of a second: how long the switch gives those who listen to say so


@pytest.fixture(scope="module")
def laboratory() -> Iterator[Scene]:
    with Scene.made() as made:
        (switch,) = made.lab.segments.values()
        for setting in ("all", "default", "br0"):
            switch.sysctl(f"net.ipv6.conf.{setting}.disable_ipv6", "0")
        switch.ip(
            *("link", "set", "br0", "type", "bridge", "mcast_snooping", "1"),
            *("mcast_query_response_interval", HUNDREDTHS, "mcast_query_interval", "200"),
            *("mcast_mld_version", "2", "mcast_querier", "1"),
        )
        yield made


@pytest.fixture
def scene(laboratory: Scene) -> Iterator[Scene]:
    yield laboratory
    laboratory.down()


def answers(scene: Scene, cluster: object = SIX) -> bool:
    """Say whether a client that knows nobody finds the cluster address."""
    scene.client.flush_neighbours()
    ping = ["ping", "-6", "-c", "1", "-W", "1", str(cluster)]
    return scene.client.run(ping, check=False).status == 0


def joined(scene: Scene, interface: str = "eth0") -> str:
    return scene.dispatcher.ip("maddress", "show", "dev", interface)


def forget(scene: Scene, group: str = GROUP) -> None:
    scene.dispatcher.ip("address", "delete", f"{group}/128", "dev", "eth0")


def test_a_client_finds_the_cluster_whatever_becomes_of_the_daemon(scene: Scene) -> None:
    before = joined(scene)
    scene.up(FILE)
    eventually(lambda: GROUP in joined(scene), "the group is joined")
    eventually(lambda: answers(scene), "the cluster is found")
    scene.fetch(20, SIX)
    scene.kill()
    forget(scene)
    eventually(lambda: not answers(scene), "the switch withholds what nobody joined")
    scene.up()
    eventually(lambda: answers(scene), "the next daemon joins anew")
    scene.kill()
    assert answers(scene), "without a daemon as well"
    scene.down()
    assert joined(scene) == before


def test_a_membership_that_somebody_ends_is_begun_again(scene: Scene) -> None:
    scene.up(FILE)
    eventually(lambda: GROUP in joined(scene), "the group is joined")
    forget(scene)
    eventually(lambda: GROUP in joined(scene), "it is joined again")
    eventually(lambda: answers(scene), "the cluster is found")


def test_groups_follow_reloads(scene: Scene) -> None:
    before = joined(scene)
    scene.up(FILE)
    eventually(lambda: answers(scene), "the cluster is found")
    scene.reload(configuration({"a": 10}, clusters=(ANOTHER,)))
    eventually(lambda: answers(scene, ANOTHER), "the new address is found")
    eventually(lambda: GROUP not in joined(scene), "the old one's group is left")
    assert OTHER_GROUP in joined(scene)
    scene.down()
    assert joined(scene) == before


def test_groups_follow_interfaces(scene: Scene) -> None:
    scene.lab.join(scene.dispatcher, "lan", interface="eth9")
    before = joined(scene, "eth9")
    both = configuration({"a": 10}, dispatcher="interface: [eth0, eth9]")
    scene.up(both)
    eventually(lambda: GROUP in joined(scene, "eth9"), "the second interface is in the group")
    scene.dispatcher.ip("link", "delete", "eth9")
    scene.lab.join(scene.dispatcher, "lan", interface="eth9")
    eventually(lambda: GROUP in joined(scene, "eth9"), "the one made anew is")
    scene.reload(FILE)
    eventually(lambda: GROUP not in joined(scene, "eth9"), "it is not any more")
    assert GROUP in joined(scene)
    scene.dispatcher.ip("link", "delete", "eth9")
    assert "link" in before
