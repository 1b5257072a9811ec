"""What the compiled data plane asks of a kernel, held against the oldest one that is promised."""

from __future__ import annotations

import ctypes
import re
from typing import TYPE_CHECKING

import pytest

from shunt.dataplane.libbpf import libbpf
from shunt.dataplane.object import Object
from shunt.dataplane.plane import OBJECT
from tests.dataplane.bytecode import deepest, functions, reached, rounded

if TYPE_CHECKING:
    from pathlib import Path

PROGRAMS = ("shunt", "shunt_trace")
STACK = 448
"""Of the kernel's 512 bytes; what is left is for what comes."""
CALL_DEPTH = 8
"""MAX_CALL_FRAMES of the kernel."""
INSTRUCTIONS = 6000
LAST_HELPER = 209
"""bpf_user_ringbuf_drain, the last that Linux 6.1 has (enum bpf_func_id)."""
_LOG_STATISTICS = 4  # BPF_LOG_STATS


@pytest.mark.parametrize("program", PROGRAMS)
def test_the_longest_chain_of_calls_leaves_room_on_the_stack(program: str) -> None:
    depth, chain = deepest(functions(OBJECT.read_bytes()), program)
    assert depth <= STACK, " -> ".join(chain)
    assert len(chain) <= CALL_DEPTH


@pytest.mark.parametrize("path", sorted(OBJECT.parent.glob("*.bpf.o")), ids=lambda path: path.stem)
def test_nothing_is_newer_than_the_oldest_kernel(path: Path) -> None:
    known = functions(path.read_bytes())
    assert sum(each.instructions for each in known.values()) <= INSTRUCTIONS
    for each in known.values():
        assert max(each.helpers, default=0) <= LAST_HELPER, each.name
        assert each.newer == 0, each.name


@pytest.mark.bpf
@pytest.mark.parametrize("program", PROGRAMS)
def test_the_verifier_counts_the_same_frames(program: str) -> None:
    """It names the stack of each function in words of 8 bytes, in an order of its own."""
    known = functions(OBJECT.read_bytes())
    told = re.search(r"^stack depth ([\d+]+)$", _statistics(program), re.MULTILINE)
    assert told
    frames = [-(-known[name].frame // 8) * 8 for name in reached(known, program)]
    assert sorted(map(int, told[1].split("+"))) == sorted(frames)


def _statistics(program: str) -> str:
    """Load the object, and return the verifier's statistics of a program."""
    library = ctypes.CDLL("libbpf.so.1")
    log = ctypes.create_string_buffer(1 << 16)
    with Object.open(OBJECT) as opened:
        found = ctypes.c_void_p(
            libbpf().bpf_object__find_program_by_name(opened._handle, program.encode())
        )
        library.bpf_program__set_log_level(found, _LOG_STATISTICS)
        library.bpf_program__set_log_buf(found, log, ctypes.c_size_t(len(log)))
        opened.load()
    return log.value.decode()


def test_frames_calls_and_helpers_are_read_as_they_are(compiled: Path) -> None:
    known = functions((compiled / "deep.bpf.o").read_bytes())
    assert {each.name: each.frame for each in known.values()} == {
        "deep": 8,
        "newer": 0,
        "leaf": 0,
        "shallow": 32,
        "wide": 160,
    }
    assert known["deep"].calls == {"shallow", "wide"}
    assert deepest(known, "shallow") == (64, ("shallow", "leaf"))
    assert deepest(known, "deep") == (32 + 160, ("deep", "wide"))
    assert known["newer"].helpers == {211}
    assert [rounded(frame) for frame in (0, 1, 32, 33)] == [32, 32, 32, 64]
