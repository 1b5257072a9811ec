"""The verifier's verdict, out of logs as kernels and libbpf printed them: `verdicts/RELEASE.txt`.

Each program there makes one mistake; 6.1 and 6.12 are Debian's. Of the longest log the middle is
left out.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from shunt.dataplane.verifier import verifier_reason

KERNELS = ("6.1", "6.12", "6.18")
VERDICTS = {
    "key_in_an_argument": {
        "6.1": "R2 type=mem expected=fp, pkt, pkt_meta, map_key, map_value",
    },
    "stack_of_many": {
        "6.1": "combined stack size of 3 calls is 576. Too large",
        "": "combined stack size of 3 calls is 544. Too large",
    },
    "null_not_excluded": {"": "R0 invalid mem access 'map_value_or_null'"},
    "beyond_the_value": {"": "R1 min value is outside of the allowed memory range"},
    "beyond_the_packet": {"": "R1 offset is outside of the packet"},
    "endless": {"": "infinite loop detected at insn 0"},
    "helper_of_another_kind": {
        "6.1": "unknown func bpf_get_socket_cookie#46",
        "": "program of this type cannot use helper bpf_get_socket_cookie#46",
    },
    "helper_unknown": {"": "invalid func unknown#4000"},
    "context_beyond": {"": "invalid bpf_context access off=64 size=4"},
    "too_large": {"6.18": "BPF program is too large. Processed 1000001 insn"},
    "unbounded": {
        "": "R1 unbounded memory access, make sure to bounds check any such access",
    },
    "argument_not_known": {
        "6.1": "arg#0 reference type('FWD hidden') size cannot be determined: -22",
        "": "Caller passes invalid args into func#1 ('look')",
    },
}
"""By program and kernel; "" is every kernel that is not named."""
SOURCES = {
    "key_in_an_argument": "return bpf_map_lookup_elem(&numbers, &pair->key) ? 1 : 0;",
    "null_not_excluded": "return *value;",
    "endless": "while (*number != 7)",
    "too_large": "for (__u32 i = 0; i < 10000000; i++)",
}

NO_MAP = """\
libbpf: Error in bpf_create_map_xattr(flows):Cannot allocate memory(-12). Retrying without BTF.
libbpf: map 'flows': failed to create: Cannot allocate memory(-12)
libbpf: failed to load object 'front.bpf.o'
"""
CUT = """\
libbpf: prog 'front': BPF program load failed: Argument list too long
libbpf: prog 'front': -- BEGIN PROG LOAD LOG --
0: R1=ctx(off=0,imm=0) R10=fp0
; sum += i;
4: (0c) w0 += w1                      ; R0_w=scalar(umax=4294967295,var_off=(0x0; 0xffffffff))
-- END PROG LOAD LOG --
libbpf: prog 'front': failed to load: -7
"""


def logs(kernel: str) -> dict[str, str]:
    """Return what was printed on a kernel, by program."""
    text = (Path(__file__).parent / "verdicts" / f"{kernel}.txt").read_text()
    parts = (part.partition("\n") for part in text.split("===== ")[1:])
    return {name: log for name, _, log in parts}


@pytest.mark.parametrize("kernel", KERNELS)
def test_the_verdict_is_found_on_every_kernel(kernel: str) -> None:
    printed = logs(kernel)
    assert printed.keys() <= VERDICTS.keys()
    assert len(printed) >= 10
    for name, log in printed.items():
        verdict = VERDICTS[name].get(kernel) or VERDICTS[name][""]
        reason = verifier_reason(log)
        assert reason.split(" (at `")[0] == f"front: {verdict}"
        if name in SOURCES:
            place = reason.split(" (at ")[1]
            assert place.startswith(f"`{SOURCES[name]}`"), name
            assert (f"{name}.bpf.c:" in place) == (kernel != "6.1"), name


@pytest.mark.parametrize(
    ("log", "reason"),
    [
        (NO_MAP, "map 'flows': failed to create: Cannot allocate memory(-12)"),
        (CUT, "front: Argument list too long"),
        ("libbpf: failed to load object 'front.bpf.o'\n", ""),
        ("", ""),
    ],
)
def test_without_a_verdict_it_is_what_libbpf_says(log: str, reason: str) -> None:
    assert verifier_reason(log) == reason


def test_of_a_log_without_measure_the_end_is_read() -> None:
    diary = "9: (05) goto pc-6\n; sum += i;\n" * 100_000
    log = CUT.replace("-- END", f"{diary}BPF program is too large. Processed 1000001 insn\n-- END")
    assert verifier_reason(log) == (
        "front: BPF program is too large. Processed 1000001 insn (at `sum += i;`)"
    )
