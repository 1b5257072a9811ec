"""What happened: logged, counted, and told to the scripts of an operator."""

from __future__ import annotations

from collections import Counter
from enum import StrEnum
from typing import TYPE_CHECKING

import structlog

if TYPE_CHECKING:
    from shunt.dispatcher.hooks import Hooks
    from shunt.model.config import Service

log = structlog.get_logger()


class Kind(StrEnum):
    """Events that have a script; the names are Dispatcher's."""

    SERVER_DOWN = "serverDown"
    SERVER_UP = "serverUp"
    MANAGER_ALERT = "managerAlert"
    MANAGER_CLEAR = "managerClear"


_WORDS = {
    Kind.SERVER_DOWN: "server down",
    Kind.SERVER_UP: "server up",
    Kind.MANAGER_ALERT: "every server is down; traffic is spread over all of them",
    Kind.MANAGER_CLEAR: "a server is up again",
}
_GOOD = {Kind.SERVER_UP, Kind.MANAGER_CLEAR}


class Events:
    """Takes events, one call each.

    Attributes:
        counts: of each kind since the start.
    """

    def __init__(self, hooks: Hooks) -> None:
        self.counts: Counter[str] = Counter({kind.value: 0 for kind in Kind})
        self._hooks = hooks

    def happened(
        self, kind: Kind, service: Service, server: str = "", own: str = "", reason: str = ""
    ) -> None:
        """Log, count and tell.

        Args:
            kind: what happened.
            service: where.
            server: whose name, for a server's events.
            own: its own address.
            reason: why.
        """
        self.counts[kind] += 1
        facts = {"server": server, "reason": reason}
        (log.info if kind in _GOOD else log.warning)(
            _WORDS[kind], service=service.name, **{k: v for k, v in facts.items() if v}
        )
        arguments = [str(service.address), str(service.port), *([server, own] if server else [])]
        self._hooks.fire(
            kind, arguments,
            {"SHUNT_SERVICE": service.name, "SHUNT_CLUSTER": service.cluster,
             "SHUNT_PROTOCOL": str(service.protocol), "SHUNT_SERVER": server,
             "SHUNT_REASON": reason},
        )  # fmt: skip
