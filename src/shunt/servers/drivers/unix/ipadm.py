"""Solaris 11 and illumos: `ipadm`, whose objects are persistent by themselves."""

from __future__ import annotations

import shlex
from hashlib import blake2s
from typing import TYPE_CHECKING

from shunt.servers.drivers.unix import boot
from shunt.servers.drivers.unix.driver import Switch, UnixDriver
from shunt.servers.drivers.unix.words import unless, when
from shunt.servers.steps import Finding, Plan, Severity

if TYPE_CHECKING:
    from collections.abc import Iterator

    from shunt.model.addresses import Address
    from shunt.servers.drivers.unix.boot import Sweep
    from shunt.servers.drivers.unix.observed import Held, Host
    from shunt.servers.steps import Step
    from shunt.servers.wish import Wish

_STRONG = "a strong host drops packets for an address that is not on the interface they came in by"
_OBJECTS = "ipadm show-addr -p -o addrobj,addr"
_INTERFACES = "ipadm show-if -p -o ifname"
_PROTECTION = "dladm show-linkprop -c -o link,value -p protection"


def _hostmodel(version: int) -> Switch:
    return Switch(
        f"hostmodel-ipv{version}",
        f"ipadm show-prop -c -o current -p hostmodel ipv{version}",
        f"ipadm set-prop -p hostmodel={{value}} ipv{version}",
        ("weak", "src-priority"),
        _STRONG,
        version,
    )


def _untold_protection() -> Finding:
    return Finding(
        Severity.WARNING,
        "dladm does not tell the links' protection",
        "with ip-nospoof a link drops replies whose source is the cluster address",
        "look from the global zone: dladm show-linkprop -p protection",
    )


class IpadmDriver(UnixDriver):
    """A system with `ipadm`; `device` says where an alias belongs."""

    switches = (_hostmodel(4), _hostmodel(6))
    loopback = "ifconfig -a"
    boot_files = ("/etc/init.d/*", "/etc/rc2.d/S*", "/etc/rc3.d/S*")
    adds_again = False  # it would be added twice
    alive = "ipadm show-prop -c -o current -p forwarding ipv4"
    kept_words = (
        f"{_OBJECTS} >/dev/null && {_INTERFACES} >/dev/null || exit 1;"
        f" {_OBJECTS} | sed 's/\\\\//g'; {_INTERFACES} | sed 's/^/interface=/';"
        f" if {_PROTECTION} >/dev/null; then {_PROTECTION} | sed 's/^/protection=/';"
        " else echo protection=unknown; fi"
    )

    def device(self, address: Address) -> str:
        """Return the interface for an alias."""
        del address
        return "lo0"

    def name(self, address: Address) -> str:
        """Return the name of an alias' object: a letter first, then what tells addresses apart.

        IPv6 addresses are hashed: a name has room for 32 characters, and all 16 bytes count.
        """
        packed = address.packed
        told = packed if address.version == 4 else blake2s(packed, digest_size=8).digest()
        return f"{self.device(address)}/v{address.version}{told.hex()}"

    def add(self, address: Address) -> str:
        """Return the words that add the alias, for good."""
        length = address.max_prefixlen
        return f"ipadm create-addr -T static -a {address}/{length} {self.name(address)}"

    def drop(self, held: Held) -> str:
        """Return the words that delete the object of an address, whatever its name."""
        # Within backquotes the shell takes backslashes away: these are named by what they are not.
        plain = "sed 's/[^0-9a-zA-Z:._/-]//g'"
        find = f"{_OBJECTS} | {plain} | sed -n 's|^\\([^:]*\\):{held.address}/.*|\\1|p'"
        return f"ipadm delete-addr `{find}`"

    def give_back(self, held: Held) -> str:
        """Return the words that put an address back under its mask."""
        name = self.name(held.address).split("/")[1]
        device = held.interface.split(":")[0]
        return f"ipadm create-addr -T static -a {held.address}/{held.prefix} {device}/{name}"

    def more(self, host: Host, wish: Wish) -> Plan:
        """Say where a link's protection would drop the replies."""
        links = [
            line.removeprefix("protection=").split(":")[0]
            for line in sorted(host.kept)
            if line.startswith("protection=") and "ip-nospoof" in line
        ]
        if not wish.clusters:
            return Plan()
        if "protection=unknown" in host.kept:
            return Plan(findings=(_untold_protection(),))
        return Plan(
            findings=tuple(
                Finding(
                    Severity.ERROR,
                    f"{link} has the link protection ip-nospoof",
                    "it drops replies whose source is the cluster address",
                    f"dladm set-linkprop -p allowed-ips+={wish.clusters[0]} {link}, from the global"
                    " zone, for every cluster address",
                )
                for link in links
            )
        )

    def sweep(self, address: Address) -> Sweep:
        """Return how the extra routes of an address are found and deleted, unseen."""
        return boot.solaris(address)

    def persistence(self, host: Host, wish: Wish) -> Plan:
        """Delete objects with a wide mask that are not up now, and will be at the next boot.

        Named are the aliases that `ifconfig` made: without an object, a reboot takes them away.
        """
        return Plan(tuple(self._unkept(host, wish))) + self._unkeepable(host, wish)

    def _unkept(self, host: Host, wish: Wish) -> Iterator[Step]:
        for line in sorted(host.kept):
            name, _, kept = line.partition(":")
            for address in wish.clusters:
                wide = (
                    kept.startswith(f"{address}/") and kept != f"{address}/{address.max_prefixlen}"
                )
                up = any(f"{held.address}/{held.prefix}" == kept for held in host.holders(address))
                if not wide or up or "/?" in name:
                    continue
                words = shlex.quote(line)
                there = f"{_OBJECTS} | sed 's/\\\\//g' | fgrep -x {words} >/dev/null"
                make = ("ipadm", "create-addr", "-T", "static", "-a", kept, name)
                yield self.replace_step(
                    line,
                    do=when(there, f"ipadm delete-addr {shlex.quote(name)}", asked=_OBJECTS),
                    there=there,
                    undo=unless(there, shlex.join(make), asked=_OBJECTS),
                    asked=_OBJECTS,
                )

    def _unkeepable(self, host: Host, wish: Wish) -> Plan:
        kept = {line.split(":", 1)[-1] for line in host.kept if "/?:" not in line}
        return Plan(
            findings=tuple(
                Finding(
                    Severity.ERROR,
                    f"{address} was added without ipadm, and is gone after a reboot",
                    "only what ipadm has made is kept",
                    f"ifconfig {host.holders(address)[0].interface} unplumb, then apply again",
                )
                for address in wish.clusters
                if host.holders(address) and f"{address}/{address.max_prefixlen}" not in kept
                if all(held.is_host for held in host.holders(address))
            )
        )
