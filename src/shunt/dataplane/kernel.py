"""The kernel's own numbers that Shunt uses, named as in <linux/bpf.h> and <linux/if_link.h>."""

from __future__ import annotations

import enum

OLDEST = (6, 1)
"""The oldest kernel that the data plane has been seen to run on; older ones are refused."""


class MapType(enum.IntEnum):
    """BPF_MAP_TYPE_*, those that Shunt treats in some special way."""

    HASH = 1
    ARRAY = 2
    PROG_ARRAY = 3
    PERCPU_HASH = 5
    PERCPU_ARRAY = 6
    LRU_HASH = 9
    LRU_PERCPU_HASH = 10
    LPM_TRIE = 11
    ARRAY_OF_MAPS = 12
    HASH_OF_MAPS = 13
    DEVMAP = 14
    DEVMAP_HASH = 25


PER_CPU = frozenset({MapType.PERCPU_HASH, MapType.PERCPU_ARRAY, MapType.LRU_PERCPU_HASH})
HASHED = frozenset({MapType.HASH, MapType.PERCPU_HASH, MapType.LRU_HASH, MapType.LRU_PERCPU_HASH})


class ProgramType(enum.IntEnum):
    """BPF_PROG_TYPE_*."""

    SCHED_CLS = 3
    XDP = 6


class Verdict(enum.IntEnum):
    """enum xdp_action: what an XDP program decides for a frame."""

    ABORTED = 0
    DROP = 1
    PASS = 2
    TX = 3
    REDIRECT = 4


class TcVerdict(enum.IntEnum):
    """TC_ACT_*: what a tc program decides for a packet."""

    UNSPEC = -1
    OK = 0
    SHOT = 2
    REDIRECT = 7


class AttachType(enum.IntEnum):
    """BPF_*: where a link attaches."""

    XDP = 37
    TCX_INGRESS = 46
    TCX_EGRESS = 47


class LinkType(enum.IntEnum):
    """BPF_LINK_TYPE_*."""

    XDP = 6
    TCX = 11


class UpdateFlag(enum.IntEnum):
    """Whether an update may create or replace an entry."""

    ANY = 0
    NOEXIST = 1
    EXIST = 2


F_MMAPABLE = 1 << 10
"""Map flag: user space may map the array's memory."""

ENOTSUPP = 524
"""The kernel's own "not supported", which libc's errno does not know."""
