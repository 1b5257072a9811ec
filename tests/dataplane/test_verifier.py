"""The verifier's last line, out of logs as libbpf prints them."""

from __future__ import annotations

import pytest

from shunt.dataplane.verifier import verifier_reason

REFUSED = """\
libbpf: prog 'front': BPF program load failed: Permission denied
libbpf: prog 'front': -- BEGIN PROG LOAD LOG --
0: R1=ctx() R10=fp0
; int front(struct xdp_md *ctx)
0: (61) r2 = *(u32 *)(r1 +0)          ; R1=ctx() R2=pkt(r=0)
; return data[9];
1: (71) r0 = *(u8 *)(r2 +9)
invalid access to packet, off=9 size=1, R2(id=0,off=9,r=0)
R2 offset is outside of the packet
processed 2 insns (limit 1000000) max_states_per_insn 0 total_states 0 peak_states 0 mark_read 0
-- END PROG LOAD LOG --
libbpf: prog 'front': failed to load: -13
libbpf: failed to load object 'front.bpf.o'
"""
TOO_COMPLEX = """\
libbpf: prog 'front': BPF program load failed: Argument list too long
libbpf: prog 'front': -- BEGIN PROG LOAD LOG --
BPF program is too large. Processed 1000001 insn
processed 1000001 insns (limit 1000000) max_states_per_insn 32 total_states 9
-- END PROG LOAD LOG --
libbpf: prog 'front': failed to load: -7
"""
NO_MAP = """\
libbpf: Error in bpf_create_map_xattr(flows):Cannot allocate memory(-12). Retrying without BTF.
libbpf: map 'flows': failed to create: Cannot allocate memory(-12)
libbpf: failed to load object 'front.bpf.o'
"""


@pytest.mark.parametrize(
    ("log", "reason"),
    [
        (REFUSED, "front: R2 offset is outside of the packet (at `return data[9];`)"),
        (TOO_COMPLEX, "front: BPF program is too large. Processed 1000001 insn"),
        (NO_MAP, "map 'flows': failed to create: Cannot allocate memory(-12)"),
        ("libbpf: failed to load object 'front.bpf.o'\n", ""),
        ("", ""),
    ],
)
def test_the_line_that_says_what_is_wrong(log: str, reason: str) -> None:
    assert verifier_reason(log) == reason
