"""The traps of the Unix systems: wires, wide masks and extra routes, in words of Bourne's shell."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from shunt.servers.drivers import aix_wpar
from shunt.servers.drivers.aix import Aix
from shunt.servers.drivers.unix.observed import Held
from shunt.servers.drivers.unix.words import false_is_right, when, wide
from shunt.servers.steps import Command, Step

if TYPE_CHECKING:
    from shunt.model.addresses import Address
    from shunt.servers.drivers.unix.driver import UnixDriver

NARROW = "a wide mask makes a route that keeps traffic for its neighbours in this host"
ROUTES = "an extra route keeps replies in this host"
WIRE = "an interface with a wire answers ARP for its own addresses, whatever is silenced"


def refusal(address: Address, check: str) -> Step:
    """Return the step that cannot be done by a script, only asked for."""
    return Step(
        id=f"off-the-wire:{address}",
        what=f"make sure that {address} is on no interface with a wire",
        why=WIRE,
        do=(
            Command.sh(
                f"echo '{address} is on an interface with a wire, or that cannot be told: take it"
                " away there, and where it is kept for the next boot' >&2; false"
            ),
        ),
        check=(Command.sh(check),),
        undo=(),
    )


@dataclass(frozen=True, slots=True)
class UnixTraps:
    """The traps of a Unix system other than Linux."""

    driver: UnixDriver

    def first(self, address: Address) -> tuple[Step, ...]:
        """Return the refusal of an address on a wire."""
        listing = f"{{ {self.driver.interfaces}; }}"
        family = "inet" if address.version == 4 else "inet6"
        rows = (
            "/^[a-z]/ { w = 1 } /^[a-z].*[<,](LOOPBACK|NOXMIT)[,>]/ { w = 0 }"
            f' $1 == "{family}" {{ split($2, a, "/"); split(a[1], b, "%");'
            f' if (b[1] == "{address}" && w) f = 1 }} END {{ exit f + 0 }}'
        )
        return (refusal(address, f"{listing} >/dev/null && {listing} | awk '{rows}'"),)

    def before_alias(self, address: Address) -> tuple[Step, ...]:
        """Return the end of a wide mask; with some systems the address goes altogether."""
        there, asked = wide(address, self.driver.loopback), self.driver.loopback
        remove = self.driver.drop(Held("lo0", address, address.max_prefixlen))
        step = Step(
            id=f"narrow:{address}",
            what=f"take {address} from the loopback interface if its mask is too wide",
            why=NARROW,
            do=(when(there, remove, asked=asked),),
            check=(false_is_right(there, asked=asked),),
            undo=(),
            note="the wide mask is not given back; look for it where the address is kept",
        )
        return (step,)

    def after_alias(self, address: Address) -> tuple[Step, ...]:
        """Return nothing: the alias may be gone with the wide mask."""
        del address
        return ()

    def last(self, address: Address) -> tuple[Step, ...]:
        """Return the sweep that also runs at boot where a boot brings routes back."""
        sweep = self.driver.sweep(address)
        step = Step(
            id=f"routes:{address}",
            what=f"delete the extra routes that {address} brought",
            why=ROUTES,
            do=(Command.sh(sweep.line),),
            check=(Command.sh(sweep.clean),),
            undo=(),
            note="they are not given back",
        )
        return (step,)


@dataclass(frozen=True, slots=True)
class WparTraps:
    """The traps of the machine that hosts a partition; `name` is the partition's."""

    name: str

    def first(self, address: Address) -> tuple[Step, ...]:
        """Return the refusal of a second partition."""
        del address
        return (aix_wpar.only(self.name),)

    def before_alias(self, address: Address) -> tuple[Step, ...]:
        """Return the end of a wide mask."""
        return (aix_wpar.narrow_any(self.name, address),)

    def after_alias(self, address: Address) -> tuple[Step, ...]:
        """Return nothing."""
        del address
        return ()

    def last(self, address: Address) -> tuple[Step, ...]:
        """Return the sweep of the host's routes."""
        return UnixTraps(Aix()).last(address)
