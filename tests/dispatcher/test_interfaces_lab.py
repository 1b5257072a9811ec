"""Where frames cannot leave natively the daemon finds out, and what ails an interface is shown."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from shunt.lab import topology
from tests.dispatcher.scene import Scene, configuration, eventually

if TYPE_CHECKING:
    from collections.abc import Iterator

    from shunt.lab.host import Host

pytestmark = [pytest.mark.lab, pytest.mark.bpf]
WEIGHTS = {"a": 1, "b": 1}


@pytest.fixture(scope="module")
def standing() -> Iterator[Scene]:
    with Scene.made() as made:
        yield made


@pytest.fixture
def scene(standing: Scene) -> Iterator[Scene]:
    yield standing
    standing.down()
    take_program_off(standing)
    topology.let_transmit(standing.lab, standing.dispatcher)


def port_of(scene: Scene) -> tuple[Host, str]:
    """Return the switch, and the name of its port towards the dispatcher."""
    port = scene.lab.peer_port(scene.dispatcher)
    return scene.lab.segments[topology.SEGMENT], port.interface


def take_program_off(scene: Scene) -> None:
    switch, port = port_of(scene)
    switch.ip("link", "set", "dev", port, "xdp", "off")


def interface(scene: Scene) -> dict[str, Any]:
    found: dict[str, Any] = scene.ask("status")["interfaces"]["eth0"]
    return found


def kinds(scene: Scene) -> set[str]:
    return {problem["kind"] for problem in interface(scene)["problems"]}


@pytest.mark.parametrize("gro", ["off", "on"])
def test_auto_takes_generic_mode_where_no_frame_would_leave(scene: Scene, gro: str) -> None:
    """With GRO at the other end the kernel counts such frames as sent; they are lost as well."""
    switch, port = port_of(scene)
    take_program_off(scene)
    switch.run(["ethtool", "-K", port, "gro", gro])
    scene.up(configuration(WEIGHTS))
    found = interface(scene)
    switch.run(["ethtool", "-K", port, "gro", "off"])
    assert found["mode"] == "generic"
    assert f"{port}, runs no XDP program in native mode" in found["native_refused"]
    assert found["problems"] == []
    assert scene.fetch().keys() == WEIGHTS.keys()


def test_auto_follows_when_frames_cannot_leave_any_more(scene: Scene) -> None:
    scene.up(configuration(WEIGHTS))
    assert interface(scene)["mode"] == "native"
    assert scene.fetch().keys() == WEIGHTS.keys()
    take_program_off(scene)
    eventually(lambda: interface(scene)["mode"] == "generic", "generic mode is taken")
    assert scene.fetch().keys() == WEIGHTS.keys()
    assert "attached again, in generic mode" in scene.said()


def test_a_restart_does_not_keep_a_native_program_that_lets_nothing_out(scene: Scene) -> None:
    scene.up(configuration(WEIGHTS))
    scene.kill()
    take_program_off(scene)
    scene.up()
    assert interface(scene)["mode"] == "generic"
    assert scene.fetch().keys() == WEIGHTS.keys()


def test_native_mode_by_order_is_kept_and_the_problem_told_until_it_is_over(scene: Scene) -> None:
    take_program_off(scene)
    scene.up(configuration(WEIGHTS, dispatcher="interface: eth0\n  mode: native"))
    assert interface(scene)["mode"] == "native"
    assert kinds(scene) == {"closed"}
    shown = " ".join(scene.shunt("status").stdout.split())
    assert "interface eth0 lets no frame out" in shown
    topology.let_transmit(scene.lab, scene.dispatcher)
    assert kinds(scene) <= {"lost"}, "what was lost on the way stays told for a minute"
    assert scene.fetch().keys() == WEIGHTS.keys()


def test_an_interface_that_is_down_or_has_no_carrier_is_shown(scene: Scene) -> None:
    switch, port = port_of(scene)
    scene.up(configuration(WEIGHTS))
    assert interface(scene)["problems"] == []
    switch.ip("link", "set", "dev", port, "down")
    try:
        assert kinds(scene) == {"no_carrier"}
        eventually(lambda: "has no carrier" in scene.said(), "it is logged")
    finally:
        switch.ip("link", "set", "dev", port, "up")
    eventually(lambda: "rid of a problem" in scene.said(), "its end is logged")
    scene.dispatcher.ip("link", "set", "dev", "eth0", "down")
    try:
        assert kinds(scene) == {"down"}
        assert scene.ask("status")["interfaces"]["eth0"]["up"] is False
    finally:
        scene.dispatcher.ip("link", "set", "dev", "eth0", "up")
        scene.dispatcher.ip("address", "replace", "2001:db8::2/64", "dev", "eth0", "nodad")
    assert interface(scene)["problems"] == []


def test_an_interface_that_was_renamed_is_shown_and_goes_on(scene: Scene) -> None:
    scene.up(configuration(WEIGHTS))
    rename = ("link", "set", "dev")
    scene.dispatcher.ip(*rename, "eth0", "name", "lan0")
    try:
        assert kinds(scene) == {"renamed"}
        assert interface(scene)["name"] == "lan0"
        assert scene.fetch().keys() == WEIGHTS.keys()
    finally:
        scene.dispatcher.ip(*rename, "lan0", "name", "eth0")
    assert interface(scene)["problems"] == []


def test_tags_that_the_driver_takes_off_are_told(scene: Scene) -> None:
    scene.dispatcher.run(["ethtool", "-K", "eth0", "rxvlan", "on"])
    try:
        scene.up(configuration(WEIGHTS))
        assert interface(scene)["vlan_tags_taken_off"] is True
        assert any("rxvlan off" in note for note in interface(scene)["notes"])
    finally:
        scene.dispatcher.run(["ethtool", "-K", "eth0", "rxvlan", "off"])
    assert interface(scene)["vlan_tags_taken_off"] is False
    assert interface(scene)["notes"] == []


def test_two_servers_with_one_mac_are_told_until_they_have_two(scene: Scene) -> None:
    """Another machine answers ARP for both: here, the first one holds the second's address, too."""
    scene.up(configuration(WEIGHTS))
    assert scene.ask("status")["diagnoses"] == []
    first, second = (scene.standing.servers[name] for name in "ab")
    mac = first.interface("eth0").mac
    second.ip("link", "set", "dev", "eth0", "down")
    first.ip("address", "add", "192.0.2.22/24", "dev", "eth0")
    try:
        eventually(lambda: scene.servers()["b"]["mac"] == str(mac), "both have one MAC")
        (found,) = scene.ask("status")["diagnoses"]
        assert (found["kind"], found["servers"]) == ("shared_mac", ["a", "b"])
        assert "servers a, b have one MAC address" in scene.shunt("status").stdout
        assert scene.said().count("have one MAC address") == 1
    finally:
        first.ip("address", "delete", "192.0.2.22/24", "dev", "eth0")
        second.ip("link", "set", "dev", "eth0", "up")
        second.ip("address", "replace", "2001:db8::22/64", "dev", "eth0", "nodad")
    eventually(lambda: scene.ask("status")["diagnoses"] == [], "each has its own again")
