"""Attaching to real interfaces of a namespace of the test's own."""

from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING

import pytest

from shunt.dataplane.attach import Attached, Mode, attach, query, take_off
from shunt.dataplane.holders import holders
from shunt.errors import DataplaneError, HostError
from tests.dataplane.conftest import wait_until

if TYPE_CHECKING:
    from pathlib import Path

    from shunt.dataplane.object import Object
    from tests.dataplane.conftest import Namespace

pytestmark = [pytest.mark.bpf, pytest.mark.lab]


@pytest.mark.parametrize("mode", [None, Mode.NATIVE, Mode.GENERIC])
def test_attach_query_detach(shapes: Object, namespace: Namespace, mode: Mode | None) -> None:
    left = namespace.ifindex("left")
    with shapes.program("dropper") as program:
        assert namespace.call(query, left) is None
        attachment = namespace.call(attach, left, program, mode)
        assert attachment.mode is (mode or Mode.NATIVE)
        assert attachment.native_refused == ""
        program_id = program.info().id
        assert namespace.call(query, left) == Attached(program_id, attachment.mode)
        assert attachment.link.info().program_id == program_id
        assert attachment.link.info().ifindex == left
        attachment.link.close()
        wait_until(lambda: namespace.call(query, left) is None)


def test_auto_falls_back_to_generic_and_says_why(shapes: Object, namespace: Namespace) -> None:
    """Loopback has no native XDP."""
    namespace.ip("link", "set", "lo", "up")
    with shapes.program("dropper") as program:
        attachment = namespace.call(attach, 1, program)
        assert attachment.mode is Mode.GENERIC
        assert "not supported" in attachment.native_refused
        attachment.link.close()
        wait_until(lambda: namespace.call(query, 1) is None)
        with pytest.raises(DataplaneError, match=r"attach program dropper to lo \(native\)"):
            namespace.call(attach, 1, program, Mode.NATIVE)


def test_update_is_in_place(shapes: Object, namespace: Namespace) -> None:
    left = namespace.ifindex("left")
    with shapes.program("dropper") as old, shapes.program("cutter") as new:
        link = namespace.call(attach, left, old).link
        link.update(new, expected=old)
        there = namespace.call(query, left)
        assert there is not None
        assert there.program_id == new.info().id
        with pytest.raises(DataplaneError, match="it is not dropper any more"):
            link.update(old, expected=old)
        link.update(old)
        link.close()


def test_a_detached_link_cannot_be_updated(shapes: Object, namespace: Namespace) -> None:
    left = namespace.ifindex("left")
    with shapes.program("dropper") as program:
        link = namespace.call(attach, left, program).link
        link.detach()
        assert namespace.call(query, left) is None
        with pytest.raises(DataplaneError, match="ENOLINK"):
            link.update(program)


def test_a_vanished_interface_leaves_a_link_without_one(
    shapes: Object, namespace: Namespace
) -> None:
    left = namespace.ifindex("left")
    with shapes.program("dropper") as program:
        link = namespace.call(attach, left, program).link
        namespace.ip("link", "del", "left")
        assert link.info().ifindex == 0
        with pytest.raises(HostError, match=f"there is no interface {left}"):
            namespace.call(attach, left, program)


def test_another_program_is_named_and_replaced_only_on_demand(
    shapes: Object, compiled: Path, namespace: Namespace
) -> None:
    """A program that `ip` put there, without a link."""
    left = namespace.ifindex("left")
    foreign = str(compiled / "moved.bpf.o")
    namespace.ip("link", "set", "dev", "left", "xdpdrv", "obj", foreign, "sec", "xdp")
    there = namespace.call(query, left)
    assert there is not None
    assert there.mode is Mode.NATIVE
    with shapes.program("dropper") as program:
        with pytest.raises(HostError, match=r"left already carries XDP program touch") as raised:
            namespace.call(attach, left, program)
        assert f"id {there.program_id}" in raised.value.message
        assert "--replace" in (raised.value.hint or "")
        assert namespace.call(query, left) == there
        link = namespace.call(attach, left, program, replace=True).link
        found = namespace.call(query, left)
        assert found is not None
        assert found.program_id == program.info().id
        link.close()


@pytest.mark.parametrize("mode", list(Mode))
def test_another_ones_link_is_named_with_its_process_and_replaced(
    shapes: Object, namespace: Namespace, mode: Mode
) -> None:
    left = namespace.ifindex("left")
    with shapes.program("cutter") as other, shapes.program("dropper") as program:
        old = namespace.call(attach, left, other, mode).link
        with pytest.raises(HostError, match="already carries XDP program cutter") as raised:
            namespace.call(attach, left, program)
        assert f"(pid {os.getpid()})" in raised.value.message
        new = namespace.call(attach, left, program, replace=True).link
        assert old.info().ifindex == 0
        old.close()
        new.close()


def test_take_off_an_interface_without_a_program_does_nothing(namespace: Namespace) -> None:
    namespace.call(take_off, namespace.ifindex("left"))


def test_holders_are_the_processes_with_a_descriptor(shapes: Object) -> None:
    with shapes.program("dropper") as program:
        number = program.info().id
        command = ["sleep", "60"]
        with subprocess.Popen(command, pass_fds=[program.fd]) as child:
            try:
                assert f"sleep (pid {child.pid})" in holders(number)
            finally:
                child.kill()
        assert all("sleep" not in holder for holder in holders(number))
