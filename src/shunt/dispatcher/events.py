"""What happened: logged, counted, and told to the scripts of an operator."""

from __future__ import annotations

from collections import Counter
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from shunt.dispatcher.hooks import Lane
from shunt.dispatcher.limited_log import LimitedLog

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from shunt.dispatcher.guarding import Claimed
    from shunt.dispatcher.hooks import Hooks
    from shunt.dispatcher.server_macs import MacNews
    from shunt.model.addresses import Address
    from shunt.model.config import Service
    from shunt.network.addresses import LocalAddress

_PERIOD, _BURST = 10.0, 30  # lines of one event of one server: 30, then one each ten seconds


class Kind(StrEnum):
    """Events that have a script.

    The names are Dispatcher's, but for `quiesced` and what follows `goInOp`.

    Dispatcher's `goActive` and `goStandby` belong to two dispatchers that watch each other; one
    that stands alone goes idle, by its word, when it begins to forward.
    """

    SERVER_DOWN = "serverDown"
    SERVER_UP = "serverUp"
    MANAGER_ALERT = "managerAlert"
    MANAGER_CLEAR = "managerClear"
    QUIESCED = "quiesced"
    GO_IDLE = "goIdle"
    GO_IN_OP = "goInOp"
    FOREIGN_ARP = "foreignArp"
    REQUEST_LOOP = "requestLoop"
    SERVER_MAC = "serverMac"
    ADDRESS_HELD = "addressHeld"
    ADDRESS_RELEASED = "addressReleased"


WORDS = {
    Kind.SERVER_DOWN: "server down",
    Kind.SERVER_UP: "server up",
    Kind.MANAGER_ALERT: "no server can serve",
    Kind.MANAGER_CLEAR: "a server can serve again",
    Kind.QUIESCED: "a quiesced server has no flows left",
    Kind.GO_IDLE: "take-over: the cluster addresses are answered for here",
    Kind.GO_IN_OP: "the cluster addresses are not answered for any more",
    Kind.FOREIGN_ARP: "another machine claims a cluster address",
    Kind.REQUEST_LOOP: "a server sends requests back",
    Kind.SERVER_MAC: "another MAC address answers for a server",
    Kind.ADDRESS_HELD: "this host itself holds a cluster address: no check can run there",
    Kind.ADDRESS_RELEASED: "this host does not hold a cluster address any more",
}
_BAD = {
    Kind.SERVER_DOWN, Kind.MANAGER_ALERT, Kind.FOREIGN_ARP, Kind.REQUEST_LOOP, Kind.SERVER_MAC,
    Kind.ADDRESS_HELD,
}  # fmt: skip
_OF_STRANGERS = {Kind.FOREIGN_ARP, Kind.SERVER_MAC}


class Events:
    """Takes events, one call each.

    Attributes:
        counts: of each kind since the start.
        hooks: the scripts that are told.
    """

    def __init__(self, hooks: Hooks) -> None:
        self.counts: Counter[str] = Counter({kind.value: 0 for kind in Kind})
        self.hooks = hooks
        self._log = LimitedLog(_PERIOD, _BURST)  # a server may come and go as often as it likes

    def happened(
        self, kind: Kind, service: Service, server: str = "", own: str = "", reason: str = ""
    ) -> None:
        """Take what befell a service, or a server of it.

        Args:
            kind: what happened.
            service: where.
            server: whose name, for a server's events.
            own: its own address.
            reason: why.
        """
        facts = {"service": service.name, "server": server, "reason": reason}
        arguments = [str(service.address), str(service.port), *([server, own] if server else [])]
        self._tell(
            kind, {key: value for key, value in facts.items() if value}, arguments,
            {"SHUNT_SERVICE": service.name, "SHUNT_CLUSTER": service.cluster,
             "SHUNT_PROTOCOL": str(service.protocol), "SHUNT_SERVER": server,
             "SHUNT_REASON": reason},
        )  # fmt: skip

    def dispatching(self, kind: Kind, addresses: Collection[Address]) -> None:
        """Take GO_IDLE or GO_IN_OP, with the cluster addresses that it is about."""
        names = [str(address) for address in addresses]
        self._tell(kind, {"addresses": names}, (), {"SHUNT_ADDRESSES": " ".join(names)})

    def claimed(self, claimed: Claimed) -> None:
        """Take FOREIGN_ARP."""
        facts = claimed.document()
        arguments = [facts["address"], facts["mac"], facts["interface"]]
        self._tell(Kind.FOREIGN_ARP, facts, arguments, {"SHUNT_REASON": facts["how"]})

    def server_mac(self, news: MacNews) -> None:
        """Take SERVER_MAC."""
        facts = news.document()
        arguments = [news.server, facts["address"], facts["mac"], facts["before"]]
        self._tell(Kind.SERVER_MAC, facts, arguments, {"SHUNT_REASON": news.reason})

    def held(self, local: LocalAddress, *, released: bool = False) -> None:
        """Take ADDRESS_HELD or ADDRESS_RELEASED."""
        facts = {"address": str(local.address), "interface": local.interface}
        kind = Kind.ADDRESS_RELEASED if released else Kind.ADDRESS_HELD
        remedy = "" if released else local.removal
        environment = {"SHUNT_REASON": remedy}
        arguments = [str(local.address), local.interface]
        self._tell(kind, facts | ({"remedy": remedy} if remedy else {}), arguments, environment)

    def _tell(
        self,
        kind: Kind,
        facts: Mapping[str, object],
        arguments: Sequence[str],
        environment: Mapping[str, str],
    ) -> None:
        self.counts[kind] += 1
        same = " ".join(arguments)
        (self._log.warning if kind in _BAD else self._log.info)(WORDS[kind], same, **facts)
        lane = Lane.CLAIMS if kind in _OF_STRANGERS else Lane.SERVICES
        self.hooks.fire(kind, arguments, environment, lane)

    def document(self) -> dict[str, Any]:
        """Return the counts for `shunt status`, and how many scripts failed or were not run."""
        return {
            **self.counts,
            "scripts_failed": self.hooks.failed,
            "scripts_left_out": self.hooks.left_out,
        }
