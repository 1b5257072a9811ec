"""What another release left pinned is taken over if it means the same, and else left as it is."""

from __future__ import annotations

import re
import shutil
import subprocess
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hatch_build import FLAGS, ROOT, system_headers

from shunt.dataplane import plane, release
from shunt.dataplane.attach import query
from shunt.dataplane.pins import PinDirectory
from shunt.dataplane.plane import Plane, Sizes
from shunt.errors import LayoutError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.dataplane.conftest import Namespace

SOURCES = ROOT / "bpf"
pytestmark = pytest.mark.bpf
KEY = bytes(range(16))
SMALL = Sizes(slots=1 << 10, members=1 << 6, flows=1 << 10, affinities=1 << 10, ports=64)
Change = tuple[str, str, str]


@pytest.fixture
def pins(bpffs: Path) -> Iterator[PinDirectory]:
    """A data plane of this release, pinned and left."""
    pinned = PinDirectory.make(bpffs / "pins", mount_point=bpffs)
    Plane.start(pinned, SMALL, KEY)
    yield pinned
    pinned.remove()


@pytest.fixture
def become(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Turn this release into one whose sources differ in some places: (file, from, to)."""

    def change(*changes: Change) -> None:
        folder = tmp_path / "bpf_of_another_release"
        shutil.copytree(SOURCES, folder)
        for name, before, after in changes:
            text = (folder / name).read_text()
            assert before in text, f"{name} has no {before!r}"
            (folder / name).write_text(text.replace(before, after))
        made = tmp_path / "another.bpf.o"
        command = ["clang", *FLAGS, *system_headers(), f"-I{folder}"]
        source = folder / "shunt.bpf.c"
        subprocess.run([*command, "-c", str(source), "-o", str(made)], check=True)
        monkeypatch.setattr(plane, "OBJECT", made)

    return change


def carried(namespace: Namespace, ifindex: int) -> int | None:
    """Return the number of the program that an interface carries."""
    found = namespace.call(query, ifindex)
    return found.program_id if found else None


CAUSE = '\tX(forwarded, "'
OTHERS = {
    "one more cause": (("abi.h", CAUSE, f'\tX(greeted, "A greeting.") \\\n{CAUSE}'),),
    "causes in another order": (
        ("abi.h", "X(passed_not_ip,", "X(swap,"),
        ("abi.h", "X(passed_arp,", "X(passed_not_ip,"),
        ("abi.h", "X(swap,", "X(passed_arp,"),
    ),
    "a flag at another place": (
        ("abi.h", "MEMBER_MOVE = 2", "MEMBER_MOVE = 4"),
        ("abi.h", "MEMBER_RESET = 4", "MEMBER_RESET = 2"),
    ),
    "another version": (("maps.h", "abi_version = SHUNT_ABI_VERSION", "abi_version = 4711"),),
    "one more map": (
        ("maps.h", "\n#endif\n", "\nMAP(BPF_MAP_TYPE_ARRAY, 1, __u32, __u32, fresh);\n#endif\n"),
    ),
    "a map of another size": (
        ("maps.h", "MAP(BPF_MAP_TYPE_HASH, 65536,", "MAP(BPF_MAP_TYPE_HASH, 32768,"),
    ),
}  # fmt: skip


@pytest.mark.lab
@pytest.mark.parametrize("changes", OTHERS.values(), ids=list(OTHERS))
def test_another_release_is_refused_before_anything_is_changed(
    pins: PinDirectory,
    become: Callable[..., None],
    namespace: Namespace,
    monkeypatch: pytest.MonkeyPatch,
    changes: tuple[Change, ...],
) -> None:
    left = namespace.ifindex("left")
    running = Plane.take_over(pins)
    namespace.call(running.attach, "left", left, None)
    before = carried(namespace, left)
    become(*changes)
    if "fresh" in str(changes):
        monkeypatch.setattr(plane, "_MAPS", (*plane._MAPS, "fresh"))
    for opening in (Plane.take_over, Plane.inspect):
        with pytest.raises(LayoutError) as raised:
            namespace.call(opening, pins)
        assert "`shunt down`, then `shunt up`" in (raised.value.hint or "")
    assert carried(namespace, left) == before
    namespace.call(running.remove)


def test_pins_that_say_no_version_are_refused(
    pins: PinDirectory, become: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    pins.remove()
    pins.path.mkdir()
    now = plane.OBJECT
    become(("maps.h", "const volatile __u32 abi_version = SHUNT_ABI_VERSION;", ""))
    Plane.start(pins, SMALL, KEY)
    monkeypatch.setattr(plane, "OBJECT", now)
    with pytest.raises(LayoutError, match="what is pinned has version an older one"):
        Plane.take_over(pins)


def test_a_release_that_means_the_same_takes_over(
    pins: PinDirectory, become: Callable[..., None]
) -> None:
    become(("abi.h", "for the operator.", "for everybody."))
    assert Plane.take_over(pins).hash_key == KEY


def test_every_enumeration_that_maps_keep_is_compared() -> None:
    text = (SOURCES / "abi.h").read_text()
    assert {*re.findall(r"^enum (\w+) \{", text, re.MULTILINE)} == {*release.ENUMS, "reason"}


def test_the_first_difference_of_enumerations_is_said() -> None:
    ours = {"one": {"A": 1, "B": 2}, "ours": {"C": 3}}
    assert release.difference(ours, {"one": {"A": 1, "B": 2}, "theirs": {"C": 4}}) is None
    assert release.difference(ours, {"one": {"A": 1}}) == (
        "enum one: B is 2 here, nothing in the kernel"
    )
    assert release.difference(ours, {"one": {"A": 1, "B": 2, "D": 7}}) == (
        "enum one: D is nothing here, 7 in the kernel"
    )


@pytest.mark.parametrize("kinds", [("slots", "sights"), ("members", "tallies")])
def test_arrays_of_which_some_have_grown_are_made_even(
    pins: PinDirectory, kinds: tuple[str, str]
) -> None:
    """As a process leaves them that is killed between two pins."""
    itself, companion = kinds
    before = Plane.take_over(pins)
    before.maps[itself].view().view(np.uint8)[:8] = 7
    sizes = {name: 4 * before.maps[name].max_entries for name in kinds}
    larger = before.grown(sizes)
    pins.pin(companion, before.maps[companion])
    after = Plane.take_over(pins)
    assert {name: after.maps[name].max_entries for name in kinds} == sizes
    assert (after.maps[itself].view().view(np.uint8)[:8] == 7).all()
    twice = {name: 2 * size for name, size in sizes.items()}
    assert after.grown(twice).maps[companion].max_entries == twice[companion]
    assert larger.maps[itself].max_entries == sizes[itself]
    pins.pin(itself, before.maps[itself])
    assert Plane.take_over(pins).maps[itself].max_entries == twice[itself]


@pytest.mark.lab
@pytest.mark.parametrize("name", ["eth0.100", "a%b", "a~", "a.b~%2e"])
def test_an_interface_may_have_any_name(
    pins: PinDirectory, namespace: Namespace, name: str
) -> None:
    left = namespace.ifindex("left")
    made = Plane.take_over(pins)
    namespace.call(made.attach, name, left, None)
    again = Plane.take_over(pins)
    assert again.links.keys() == {name}
    assert carried(namespace, left) == again.program.info().id
    again.remove()
    assert carried(namespace, left) is None


@pytest.mark.lab
def test_an_attachment_whose_pin_was_cut_off_is_found(
    pins: PinDirectory, namespace: Namespace
) -> None:
    left = namespace.ifindex("left")
    made = Plane.take_over(pins)
    namespace.call(made.attach, "left", left, None)
    (pins.path / "link_left").rename(pins.path / "link_left~")
    made.links.clear()
    assert not Plane.is_remnant(pins)
    assert Plane.inspect(pins).links.keys() == {"left"}
    assert (pins.path / "link_left~").exists(), "an inspection changes nothing"
    again = Plane.take_over(pins)
    assert [path.name for path in pins.path.iterdir() if path.name.endswith("~")] == []
    namespace.call(again.attach, "left", left, None)
    assert carried(namespace, left) == again.program.info().id
    again.remove()
    assert carried(namespace, left) is None


@pytest.mark.lab
def test_an_interface_that_was_renamed_keeps_its_attachment(
    pins: PinDirectory, namespace: Namespace
) -> None:
    left = namespace.ifindex("left")
    made = Plane.take_over(pins)
    before = namespace.call(made.attach, "left", left, None)
    after = namespace.call(made.attach, "renamed", left, None)
    assert after.link.info().id == before.link.info().id
    assert made.links.keys() == Plane.inspect(pins).links.keys() == {"renamed"}
    made.remove()
    assert carried(namespace, left) is None


@pytest.mark.lab
def test_interfaces_may_change_names_with_each_other(
    pins: PinDirectory, namespace: Namespace
) -> None:
    one, two = namespace.ifindex("left"), namespace.ifindex("right")
    made = Plane.take_over(pins)
    for names in (("left", "right"), ("right", "left")):
        for name, index in zip(names, (one, two), strict=True):
            namespace.call(made.attach, name, index, None)
        assert {n: a.link.info().ifindex for n, a in made.links.items()} == dict(
            zip(names, (one, two), strict=True)
        )
    made.remove()
    assert carried(namespace, one) is None
    assert carried(namespace, two) is None
