"""Typed maps against the kernel's own, and against a dictionary."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from shunt.dataplane.kernel import UpdateFlag, Verdict
from shunt.dataplane.testrun import run
from shunt.errors import DataplaneError

if TYPE_CHECKING:
    from typing import Any

    from numpy.typing import NDArray

    from shunt.dataplane.maps import Map
    from shunt.dataplane.object import Object

pytestmark = pytest.mark.bpf


def _keys(table: Map, numbers: NDArray[Any] | range) -> NDArray[Any]:
    keys = np.zeros(len(numbers), table.key)
    keys["number"] = numbers
    return keys


def test_one_entry_at_a_time(shapes: Object) -> None:
    with shapes.map("table") as table:
        assert table.get((1, 0)) is None
        table.put((1, 0), (5, (6, 7)))
        assert table.get((1, 0)) == np.array((5, (6, 7)), table.value)
        assert table.delete((1, 0))
        assert not table.delete((1, 0))


def test_flags_are_kept(shapes: Object) -> None:
    with shapes.map("table") as table:
        with pytest.raises(DataplaneError, match="ENOENT"):
            table.put((1, 0), (5, (6, 7)), UpdateFlag.EXIST)
        table.put((1, 0), (5, (6, 7)), UpdateFlag.NOEXIST)
        with pytest.raises(DataplaneError, match="EEXIST"):
            table.put((1, 0), (5, (6, 7)), UpdateFlag.NOEXIST)


def test_an_index_beyond_the_array_is_an_error(shapes: Object) -> None:
    with shapes.map("pairs") as pairs:
        with pytest.raises(DataplaneError, match="write map pairs: E2BIG"):
            pairs.put(64, (1, 2))
        assert pairs.get(64) is None


@pytest.mark.parametrize("size", [1, 7, 4096])
def test_batches_return_every_entry_once(shapes: Object, size: int) -> None:
    """Size 1 meets buckets that hold more than a batch (ENOSPC)."""
    with shapes.map("table") as table:
        keys = _keys(table, range(3000))
        values = np.zeros(3000, table.value)
        values["head"] = np.arange(3000) * 3
        table.update_batch(keys, values)
        parts = list(table.items_batch(size))
        found_keys = np.concatenate([part[0] for part in parts])
        found_values = np.concatenate([part[1] for part in parts])
    assert sorted(found_keys["number"].tolist()) == list(range(3000))
    assert (found_values["head"] == found_keys["number"] * 3).all()


def test_an_empty_map_gives_empty_arrays(shapes: Object) -> None:
    with shapes.map("table") as table, shapes.map("spread") as spread:
        keys, values = table.items()
        assert (keys.shape, values.shape) == ((0,), (0,))
        assert spread.items()[1].shape == (0, spread.cpus)
        table.update_batch(keys, values)


def test_an_lru_forgets_rather_than_refuses(shapes: Object) -> None:
    with shapes.map("recent") as recent:
        recent.update_batch(_keys(recent, range(20000)), np.arange(20000))
        keys, values = recent.items()
    assert 1000 < len(keys) <= 4096
    assert (values == keys["number"]).all()


def test_a_full_map_says_how_far_it_came(shapes: Object) -> None:
    with (
        shapes.map("table") as table,
        pytest.raises(DataplaneError, match="E2BIG") as raised,
    ):
        table.update_batch(_keys(table, range(5000)), np.zeros(5000, table.value))
    assert "(4096 of 5000 entries were written)" in raised.value.message


def test_per_cpu_arrays(shapes: Object) -> None:
    with shapes.map("counts") as counts, shapes.program("shapes") as program:
        run(program, bytes(64), repeat=5)
        keys, values = counts.items()
        assert keys.tolist() == [0, 1, 2, 3]
        assert values.shape == (4, counts.cpus)
        assert values.sum(axis=1).tolist() == [0, 5, 0, 0]
        counts.put(2, 9)
        assert counts.get(2).tolist() == [9] * counts.cpus
        counts.update_batch([0, 1], np.arange(2 * counts.cpus).reshape(2, counts.cpus))
        assert counts.lookup_batch([1, 0])[0].sum(axis=1).tolist() == [
            sum(range(counts.cpus, 2 * counts.cpus)),
            sum(range(counts.cpus)),
        ]


def test_a_span_is_a_part_of_an_array(shapes: Object) -> None:
    with shapes.map("counts") as counts:
        for index in range(4):
            counts.put(index, 10 + index)
        for start, stop in ((0, 4), (0, 1), (1, 3), (3, 4), (2, 2)):
            expected = [[10 + index] * counts.cpus for index in range(start, stop)]
            assert counts.span(start, stop).tolist() == expected


def test_per_cpu_hashes(shapes: Object) -> None:
    with shapes.map("spread") as spread:
        values = np.zeros((2, spread.cpus), spread.value)
        values["high"] = np.arange(2 * spread.cpus).reshape(2, spread.cpus)
        spread.update_batch(_keys(spread, range(2)), values)
        keys, found = spread.items()
    order = np.argsort(keys["number"])
    assert (found[order] == values).all()


def test_kinds_without_batches_work_the_same(shapes: Object, namespace: Any) -> None:
    """A device map takes interfaces of the calling namespace only, one at a time."""
    with shapes.map("devices") as devices:
        left, right = namespace.ifindex("left"), namespace.ifindex("right")
        namespace.call(devices.update_batch, [1, 2], [left, right])
        keys, values = devices.items()
        assert dict(zip(keys.tolist(), values.tolist(), strict=True)) == {1: left, 2: right}
        assert devices.delete_batch([2, 5, 1]) == 2
        assert devices.items()[0].shape == (0,)


def test_lookup_batch_says_what_was_found(shapes: Object) -> None:
    with shapes.map("table") as table:
        table.put((2, 0), (22, (0, 0)))
        values, found = table.lookup_batch(_keys(table, range(1, 4)))
    assert found.tolist() == [False, True, False]
    assert values["head"].tolist() == [0, 22, 0]


def test_view_is_the_kernels_memory(shapes: Object) -> None:
    with shapes.map("pairs") as pairs, shapes.program("shapes") as program:
        view = pairs.view()
        view["current"][1] = 77
        run(program, bytes(64))
        assert view[1].tolist() == (77, 77)
        assert pairs.get(1).tolist() == (77, 77)
    assert view[1]["elder"] == 77  # also after close
    with shapes.map("table") as table, pytest.raises(DataplaneError, match="cannot be mapped"):
        table.view()


def test_store_writes_words(shapes: Object) -> None:
    with shapes.map("pairs") as pairs, shapes.map("wides") as wides:
        pairs.store([3, 5], np.array([(1, 2), (3, 4)], pairs.value))
        assert pairs.get(3).tolist() == (1, 2)
        assert pairs.get(5).tolist() == (3, 4)
        assert pairs.get(4).tolist() == (0, 0)
        wides.store(2, np.array([(1, (2, 3))], wides.value))
        assert wides.get(2) == np.array((1, (2, 3)), wides.value)
        assert wides.words()[2].tolist() == [1, 2, 3]


def test_no_packet_sees_half_an_element(shapes: Object) -> None:
    """A program reads one element over and over while equal halves are stored into it."""
    with (
        shapes.map("pairs") as pairs,
        shapes.map("counts") as counts,
        shapes.program("watcher") as watcher,
        ThreadPoolExecutor(1) as thread,
    ):
        reading = thread.submit(run, watcher, bytes(64), repeat=1_000_000)
        stored = 0
        while not reading.done():
            stored = (stored + 0x0101) & 0xFFFF
            pairs.store(2, np.array([(stored, stored)], pairs.value))
        assert reading.result().verdict is Verdict.PASS
        assert counts.get(2).sum() == 1_000_000
        assert counts.get(3).sum() == 0


OPERATIONS = st.lists(
    st.tuples(
        st.sampled_from(["put", "delete", "update", "remove"]),
        st.lists(st.integers(0, 30), min_size=1, max_size=12, unique=True),
    ),
    max_size=20,
)


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(operations=OPERATIONS)
def test_a_hash_map_is_a_dictionary(
    shapes: Object, operations: list[tuple[str, list[int]]]
) -> None:
    with shapes.map("table") as table:
        table.delete_batch(table.items()[0])
        model: dict[int, int] = {}
        for step, (name, numbers) in enumerate(operations):
            keys = _keys(table, np.array(numbers))
            values = np.zeros(len(numbers), table.value)
            values["head"] = step
            if name == "put":
                table.put(keys[0], values[0])
                model[numbers[0]] = step
            elif name == "delete":
                assert table.delete(keys[0]) == (numbers[0] in model)
                model.pop(numbers[0], None)
            elif name == "update":
                table.update_batch(keys, values)
                model.update(dict.fromkeys(numbers, step))
            else:
                removed = sum(model.pop(number, None) is not None for number in numbers)
                assert table.delete_batch(keys) == removed
        found = table.items()
        assert (
            dict(zip(found[0]["number"].tolist(), found[1]["head"].tolist(), strict=True)) == model
        )
