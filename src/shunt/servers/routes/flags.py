"""Flags of `netstat`, as far as they decide whether a row can swallow traffic."""

from __future__ import annotations

from shunt.servers.routes.rows import Kind


def kind_of(flags: str) -> Kind:
    """Return what a row with these flags does.

    `R` and `!` refuse, `B` discards, `b` is a broadcast address, `m` a multicast one
    (netstat(1) of the BSDs, AIX, Solaris; route(8) of net-tools for `!`).
    """
    if set(flags) & set("RB!"):
        return Kind.REFUSE
    return Kind.OTHER if set(flags) & set("bm") else Kind.UNICAST
