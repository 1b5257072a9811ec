"""Whether servers get traffic while they are changed: `remove` and `apply` ask first.

The daemon on this host knows which servers it gives traffic to. Where none runs, or another host's
dispatcher has the server, nobody here knows: then it is said, and done. One that runs and does not
tell is another matter: then nothing is done without --force.
"""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from shunt.cli.server_runtime import remaining
from shunt.errors import ControlError, HostError, InUseError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from shunt.cli.output import Output
    from shunt.model.addresses import Address
    from shunt.servers.apply import Examination
    from shunt.servers.wish import Wish

_TIMEOUT = 10.0  # seconds for the daemon's answer
_AT_BOOT_ONLY = frozenset({"keep", "unkeep", "mask"})


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class Care:
    """What is asked before a server that gets traffic is changed."""

    force: Annotated[bool, Parameter(negative=())] = False
    """Change a server also while the dispatcher on this host gives it traffic."""

    root: Annotated[Path | None, Parameter(negative=())] = None
    """As for `shunt up`: where the dispatcher on this host keeps its control socket."""


CAREFUL = Care()


@dataclass(frozen=True, slots=True)
class Traffic:
    """What the daemon on this host says; `status` is None where none runs, or none tells.

    `silent` says why one that runs does not tell.
    """

    status: dict[str, Any] | None
    silent: str | None = None

    @classmethod
    def ask(cls, root: Path | None) -> Traffic:
        """Return what the daemon says, if one runs here and may be asked."""
        from shunt.dispatcher.control import request
        from shunt.dispatcher.places import places

        try:
            return cls(request(places(root).socket, "status", patience=_TIMEOUT))
        except (ControlError, HostError) as error:
            runs = not isinstance(error.__cause__, (FileNotFoundError, ConnectionRefusedError))
            return cls(None, error.message if runs else None)

    def rows(self, wish: Wish) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
        """Yield (service, row) of the server, by its name or by an own address."""
        own = {str(address) for address in wish.server.addresses}
        for service in self.status["services"] if self.status else ():
            for row in service["servers"]:
                if row["server"] == wish.server.name or row["address"] in own:
                    yield service, row

    def needs(self, wish: Wish) -> tuple[list[str], frozenset[Address]]:
        """Return what needs the server, in words, and the cluster addresses that this is about."""
        found: list[str] = []
        served: set[Address] = set()
        for service, row in self.rows(wish):
            left = remaining(self.status or {}, {(service["name"], row["address"])})
            if left:
                found += left
                address = ip_address(service["address"])
                any_of = [a for a in wish.clusters if a.version == address.version]
                served.update(any_of if address.is_unspecified else [address])
        return found, frozenset(served)


def consent(care: Care, out: Output) -> Callable[[Wish, Examination], None]:
    """Return what the engine asks before it changes a server.

    It raises InUseError where the daemon on this host gives the server traffic that the change
    would interrupt, and warns where that cannot be known.
    """
    traffic = Traffic.ask(care.root)

    def ask(wish: Wish, before: Examination) -> None:
        if care.force:
            return
        needs, served = traffic.needs(wish)
        interrupted = interrupting(before, served if needs else None)
        if not interrupted:
            return
        if traffic.silent is not None:
            raise InUseError(
                f"whether {wish.server.name} gets traffic could not be asked ({traffic.silent}),"
                f" and this would interrupt it: {'; '.join(interrupted)}",
                hint="see what the dispatcher on this host is at; or --force",
            )
        if needs:
            raise InUseError(
                f"{wish.server.name} still gets traffic ({'; '.join(needs)}),"
                f" and this would interrupt it: {'; '.join(interrupted)}",
                hint=f"shunt server quiesce {wish.server.name} --wait first, or --force",
            )
        if not any(traffic.rows(wish)):
            out.warn(
                f"{wish.server.name}: whether a dispatcher gives it traffic is not known here;"
                f" if one does, this interrupts it: {'; '.join(interrupted)}"
            )

    return ask


def interrupting(before: Examination, served: frozenset[Address] | None) -> tuple[str, ...]:
    """Return what of a change takes a cluster address away, for good or for a moment.

    Args:
        before: What is to be undone and done.
        served: The cluster addresses that get traffic; None: that is not known.
    """
    undone = (
        entry.what for entry in before.stale if _matters(entry.id, served, at_boot=_AT_BOOT_ONLY)
    )
    ids = [step.id for step in before.plan.steps]
    gaps = (
        step.what
        for place, step in enumerate(before.plan.steps)
        if step.id.startswith("narrow:")
        and _matters(step.id.partition("/")[0], served)
        and f"alias:{_about(step.id)}" in ids[place:]
    )
    return (*undone, *gaps)


def _matters(
    step: str, served: frozenset[Address] | None, *, at_boot: frozenset[str] = frozenset()
) -> bool:
    """Return whether a step touches the traffic; one of no address touches all."""
    if step.partition(":")[0] in at_boot:
        return False
    address = _about(step)
    return served is None or address is None or address in served


def _about(step: str) -> Address | None:
    try:
        return ip_address(step.partition(":")[2].partition("/")[0])
    except ValueError:
        return None
