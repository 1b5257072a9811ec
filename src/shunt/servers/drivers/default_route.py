"""A default route that leads to a cluster address: deleted only where another one is left."""

from __future__ import annotations

from typing import TYPE_CHECKING

from shunt.servers.steps import Finding, Severity

if TYPE_CHECKING:
    from shunt.model.addresses import Address
    from shunt.servers.routes.rows import Listing, Route


def is_alone(listing: Listing, route: Route, cluster: Address) -> bool:
    """Tell whether a row is a default route to the address, and the only way out of its table."""
    return (route.prefix, route.gateway) == (0, cluster) and not any(
        other.prefix == 0
        and other.gateway not in {None, route.gateway}
        and (other.table, other.where) == (route.table, route.where)
        for other in listing.of_family(route.address.version)
    )


def finding(address: Address, words: str) -> Finding:
    """Return what is to be said of it; `words` are for a person to complete with the router.

    To delete it would cut the server off for good, and which router is right is not known here.
    """
    return Finding(
        Severity.ERROR,
        f"the only default route leads to the cluster address {address}",
        "replies go to the dispatcher, which routes nothing, and are lost",
        f"name the router instead: {words}",
    )
