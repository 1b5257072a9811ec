"""Runs of programs on made frames."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from shunt.dataplane.kernel import TcVerdict, Verdict
from shunt.dataplane.testrun import SHORTEST, run, run_batch
from shunt.errors import DataplaneError

if TYPE_CHECKING:
    from shunt.dataplane.object import Object
    from tests.dataplane.conftest import Namespace

pytestmark = pytest.mark.bpf


def test_a_frame_comes_back_as_the_program_left_it(shapes: Object) -> None:
    frame = bytes(range(64))
    with shapes.program("cutter") as cutter, shapes.program("dropper") as dropper:
        result = run(cutter, frame)
        assert result.verdict is Verdict.TX
        assert result.frame == frame[4:]
        result = run(dropper, frame, repeat=100)
        assert result.verdict is Verdict.DROP
        assert result.frame == frame


def test_a_frame_that_the_kernel_does_not_take(shapes: Object) -> None:
    with shapes.program("dropper") as program:
        assert run(program, bytes(SHORTEST)).verdict is Verdict.DROP
        with pytest.raises(DataplaneError, match="run program dropper: EINVAL") as raised:
            run(program, bytes(SHORTEST - 1))
        assert f"{SHORTEST} bytes or more" in (raised.value.hint or "")


@pytest.mark.lab
def test_the_interface_is_the_callers_choice(shapes: Object, namespace: Namespace) -> None:
    """The program passes what came in by interface 1, and sends back the rest."""
    left = namespace.ifindex("left")
    with shapes.program("shapes") as program:
        assert run(program, bytes(64)).verdict is Verdict.PASS
        assert namespace.call(run, program, bytes(64), ifindex=left).verdict is Verdict.TX
        frames = np.zeros((3, 64), np.uint8)
        batch = namespace.call(run_batch, program, frames, [64, 20, 33], ifindex=left)
        assert batch.verdicts.tolist() == [Verdict.TX] * 3
        with pytest.raises(DataplaneError):
            namespace.call(run, program, bytes(64), ifindex=9999)


def test_a_batch_is_many_single_runs(shapes: Object) -> None:
    random = np.random.default_rng(1)
    frames = random.integers(0, 256, (500, 90), np.uint8)
    lengths = random.integers(SHORTEST + 4, 91, 500)
    with shapes.program("cutter") as program:
        batch = run_batch(program, frames, lengths)
        for index, length in enumerate(lengths.tolist()):
            single = run(program, frames[index, :length].tobytes())
            assert batch.verdicts[index] == single.verdict
            assert batch.frames[index, : batch.lengths[index]].tobytes() == single.frame
            assert not batch.frames[index, batch.lengths[index] :].any()
        with pytest.raises(DataplaneError, match="cutter on frame 1"):
            run_batch(program, frames[:3], [60, 5, 60])


def test_marks_reach_a_classifier(shapes: Object) -> None:
    with shapes.program("marked") as program:
        assert run(program, bytes(64)).verdict is TcVerdict.OK
        assert run(program, bytes(64), mark=7).verdict is TcVerdict.SHOT
