"""What is pinned outlives its handles, and is compared when it is opened again."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from shunt.dataplane.attach import attach, query
from shunt.dataplane.layouts import Layouts
from shunt.dataplane.pins import PinDirectory, is_bpffs
from shunt.dataplane.testrun import run
from shunt.errors import DataplaneError, HostError, LayoutError
from tests.dataplane.conftest import wait_until

if TYPE_CHECKING:
    from pathlib import Path

    from shunt.dataplane.object import Object
    from tests.dataplane.conftest import Namespace

pytestmark = pytest.mark.bpf


def test_maps_and_programs_come_back(shapes: Object, bpffs: Path) -> None:
    pins = PinDirectory.make(bpffs / "one" / "two")
    with shapes.map("records") as records, shapes.program("shapes") as program:
        pins.pin("records", records)
        pins.pin("shapes", program)
    assert pins.names() == {"records", "shapes"}
    with pins.open_program("shapes") as program:
        run(program, bytes(64))
    with pins.open_map("records", shapes.layouts.maps["records"]) as records:
        assert records.get(0)["port"] == 443
    with pins.open_map("records") as untold:  # the kernel's own types will do
        assert untold.value["parts"].shape == (2,)
        assert untold.name == "records"
    pins.remove()
    pins.remove()
    assert pins.names() == frozenset()
    assert not (bpffs / "one" / "two").exists()


def test_a_pinned_map_of_another_layout_is_named(
    shapes: Object, compiled: Path, bpffs: Path
) -> None:
    pins = PinDirectory.make(bpffs / "here")
    moved = Layouts.read(compiled / "moved.bpf.o")
    with shapes.map("records") as records:
        pins.pin("records", records)
    with pytest.raises(LayoutError, match="map records: its value: field narrow") as raised:
        pins.open_map("records", moved.maps["records"])
    assert "shunt down" in (raised.value.hint or "")
    with pytest.raises(LayoutError, match="map table is of kind 1 here, 2 in the kernel"):
        pins.open_map("records", shapes.layouts.maps["table"])
    pins.remove()


def test_a_pin_is_replaced_without_a_gap(shapes: Object, bpffs: Path) -> None:
    pins = PinDirectory.make(bpffs / "here")
    with shapes.program("dropper") as old, shapes.program("cutter") as new:
        pins.pin("program", old)
        pins.pin("program", new)
        with pins.open_program("program") as found:
            assert found.info().id == new.info().id
    assert pins.names() == {"program"}
    assert pins.unpin("program")
    assert not pins.unpin("program")
    pins.remove()


@pytest.mark.lab
def test_a_pinned_link_keeps_the_program_attached(
    shapes: Object, bpffs: Path, namespace: Namespace
) -> None:
    pins = PinDirectory.make(bpffs / "here")
    left = namespace.ifindex("left")
    with shapes.program("dropper") as program, shapes.program("cutter") as next_one:
        with namespace.call(attach, left, program).link as link:
            pins.pin("link", link)
        assert namespace.call(query, left) is not None
        with pins.open_link("link") as again:
            again.update(next_one)
            there = namespace.call(query, left)
            assert there is not None
            assert there.program_id == next_one.info().id
    pins.remove()
    wait_until(lambda: namespace.call(query, left) is None)


def test_what_is_absent_is_an_error_with_enoent(bpffs: Path) -> None:
    pins = PinDirectory.make(bpffs / "here")
    with pytest.raises(DataplaneError, match="here/nothing: ENOENT"):
        pins.open_map("nothing")
    pins.remove()


def test_only_a_bpf_filesystem_will_do(tmp_path: Path, bpffs: Path) -> None:
    assert is_bpffs(bpffs / "not" / "yet")
    assert not is_bpffs(tmp_path)
    with pytest.raises(HostError, match="is not on a bpf filesystem"):
        PinDirectory.make(tmp_path / "elsewhere", mount_point=bpffs)
