"""The whole question about a listing: which extra routes are there, or why can that not be told."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from shunt.errors import UsageError
from shunt.model.config import OperatingSystem as System
from shunt.servers.routes.delete import Deletion, deletion
from shunt.servers.routes.devices import devices
from shunt.servers.routes.held import OnTheWire, on_the_wire
from shunt.servers.routes.recognise import read
from shunt.servers.routes.rule import Extra, Surroundings, extra_routes, surroundings
from shunt.servers.routes.sight import Blind, blind_spots, not_held

if TYPE_CHECKING:
    from collections.abc import Sequence

    from shunt.model.addresses import Address
    from shunt.servers.routes.rows import Listing


@dataclass(frozen=True, slots=True)
class Answer:
    """Extra routes with their deletions, misplaced addresses, and what could not be shown.

    `ignored` says that the extra routes do no harm that could be helped (Windows 2003).
    """

    listing: Listing
    system: System
    extras: tuple[tuple[Extra, Deletion], ...]
    on_the_wire: tuple[OnTheWire, ...]
    blind: tuple[Blind, ...]

    @property
    def ignored(self) -> bool:
        """Tell whether extra routes are to be left alone on this system."""
        return self.system is System.WINDOWS2003

    @property
    def exit_code(self) -> int:
        """Return 1 if a route or an address is in the wrong place, 2 if that cannot be told."""
        if self.on_the_wire or (self.extras and not self.ignored):
            return 1
        return 2 if self.blind else 0


def answer(
    text: str,
    clusters: Sequence[Address],
    around: Surroundings | None = None,
    system: System | None = None,
) -> Answer:
    """Read a listing and judge it; what `around` leaves empty is read off the listing.

    Raises:
        ParseError: the listing is not understood.
        UsageError: no cluster address was given, or an own address is one.
    """
    around = around or Surroundings()
    if not clusters:
        raise UsageError("no cluster address was given", hint="say --cluster ADDRESS")
    for address in around.own:
        if address in clusters:
            raise UsageError(
                f"{address} is given as the server's own and as the cluster address",
                hint="the cluster address is shared by the servers, the own address is not",
            )
    listing = read(text, system)
    seen = surroundings(listing, clusters)
    full = Surroundings(
        around.own or seen.own, around.gateways or seen.gateways, around.dispatchers
    )
    extras = extra_routes(listing, clusters, full)
    known = devices(listing, clusters, full.own)
    misplaced = on_the_wire(known)
    blind = blind_spots(listing, listing.system, clusters)
    told = {extra.cluster for extra in extras} | {address.cluster for address in misplaced}
    told |= {spot.cluster for spot in blind}
    return Answer(
        listing,
        listing.system,
        tuple((extra, deletion(listing.system, extra.route, extra.cluster)) for extra in extras),
        misplaced,
        blind + not_held(known, [address for address in clusters if address not in told]),
    )
