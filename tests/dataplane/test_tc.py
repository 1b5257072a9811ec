"""Classifiers, by tcx and by clsact, on real packets of a namespace of the test's own."""

from __future__ import annotations

import errno
import os
import socket
from typing import TYPE_CHECKING

import pytest

from shunt.dataplane.kernel import AttachType
from shunt.dataplane.object import Object
from shunt.dataplane.tc import attach_tc, take_off_orphan
from shunt.errors import DataplaneError

if TYPE_CHECKING:
    from pathlib import Path

    from tests.dataplane.conftest import Namespace

pytestmark = [pytest.mark.bpf, pytest.mark.lab]


IP_RECVERR = 11


def _leaves(mark: int) -> bool:
    """Say whether a datagram with that mark leaves `left`; the classifier drops mark 7."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.setsockopt(socket.SOL_SOCKET, socket.SO_MARK, mark)
        sender.setsockopt(socket.IPPROTO_IP, IP_RECVERR, 1)  # a drop in tc fails the call
        try:
            sender.sendto(b"x", ("192.0.2.2", 9))
        except OSError as error:
            if error.errno != errno.ENOBUFS:
                raise
            return False
    return True


@pytest.fixture
def addressed(namespace: Namespace) -> Namespace:
    """The namespace with an address on `left` and a neighbour behind it."""
    namespace.ip("address", "add", "192.0.2.1/24", "dev", "left")
    words = "neighbour add 192.0.2.2 lladdr 02:00:00:00:00:02 dev left nud permanent"
    namespace.ip(*words.split())
    return namespace


@pytest.mark.parametrize("tcx", [True, False])
def test_a_classifier_sees_the_mark_until_it_is_detached(
    shapes: Object, addressed: Namespace, *, tcx: bool
) -> None:
    left = addressed.ifindex("left")
    with shapes.program("marked") as program:
        attachment = addressed.call(attach_tc, left, program, tcx=tcx)
        assert (attachment.link is not None) == tcx
        assert not addressed.call(_leaves, 7)
        assert addressed.call(_leaves, 6)
        addressed.call(attachment.update, program)
        assert not addressed.call(_leaves, 7)
        addressed.call(attachment.detach)
        assert addressed.call(_leaves, 7)


def test_detaching_takes_the_classifier_off_whoever_else_holds_it(
    shapes: Object, addressed: Namespace
) -> None:
    with shapes.program("marked") as program:
        attachment = addressed.call(attach_tc, addressed.ifindex("left"), program)
        assert attachment.link is not None
        other = os.dup(attachment.link.fd)
        addressed.call(attachment.detach)
        assert addressed.call(_leaves, 7)
        os.close(other)


def test_a_filter_is_found_again_and_replaced(shapes: Object, addressed: Namespace) -> None:
    left = addressed.ifindex("left")
    with shapes.program("marked") as program:
        first = addressed.call(attach_tc, left, program, tcx=False)
        second = addressed.call(attach_tc, left, program, tcx=False)
        addressed.call(first.update, program)
        addressed.call(second.detach)
        addressed.call(first.detach)  # gone already: fine


def test_a_filter_is_taken_off_when_it_is_ours_and_nobody_holds_it(
    compiled: Path, addressed: Namespace
) -> None:
    left = addressed.ifindex("left")
    assert not addressed.call(take_off_orphan, left, "marked")
    with Object.open(compiled / "shapes.bpf.o") as shapes:
        program = shapes.load().program("marked")
        addressed.call(attach_tc, left, program, tcx=False)
        assert not addressed.call(take_off_orphan, left, "marked")
        program.close()
    assert not addressed.call(take_off_orphan, left, "other")
    assert not addressed.call(_leaves, 7)
    assert addressed.call(take_off_orphan, left, "marked")
    assert addressed.call(_leaves, 7)
    assert not addressed.call(take_off_orphan, left, "marked")
    assert not addressed.call(take_off_orphan, 9999, "marked")


def test_ingress_and_an_absent_interface(shapes: Object, addressed: Namespace) -> None:
    with shapes.program("marked") as program:
        attachment = addressed.call(
            attach_tc, addressed.ifindex("left"), program, point=AttachType.TCX_INGRESS
        )
        addressed.call(attachment.detach)
        with pytest.raises(DataplaneError, match="ENODEV"):
            addressed.call(attach_tc, 9999, program)
