"""A check: an advisor with its settings, its times, and the place to ask; made from the model."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

from shunt.advisors import registry, settings
from shunt.advisors.advisor import Advisor, Target, Transport
from shunt.advisors.settings import SettingsError, choice, duration, number, setting
from shunt.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from shunt.model.addresses import Address

INTERVAL = 7.0  # seconds: Dispatcher's
TIMES = 3  # the time-outs are so many intervals: Dispatcher's


class At(StrEnum):
    """Whom a check asks: the cluster address by the forwarding path, or the server's own."""

    CLUSTER = "cluster"
    SERVER = "server"


def _at(value: object) -> At:
    return At(choice(*At)(value))


@dataclass(frozen=True, slots=True, kw_only=True)
class Common:
    """Settings that every advisor has."""

    at: At | None = field(
        default=None,
        metadata=setting(
            _at, "`cluster`: the cluster address at this server; `server`: its own address."
        ),
    )
    port: int | None = field(
        default=None, metadata=setting(number(1, 65535), "Port to ask; default the service's.")
    )
    interval: float = field(
        default=INTERVAL, metadata=setting(duration, "Time between the beginnings of two checks.")
    )
    connect_timeout: float | None = field(
        default=None,
        metadata=setting(duration, "Longest wait for a connection; default 3 intervals."),
    )
    receive_timeout: float | None = field(
        default=None,
        metadata=setting(
            duration, "Longest time for the whole dialogue after that; default 3 intervals."
        ),
    )
    retries: int = field(
        default=0,
        metadata=setting(
            number(0, 100), "Failures that are forgiven before a server counts as down."
        ),
    )
    rise: int = field(
        default=1,
        metadata=setting(
            number(1, 100), "Successes in a row before a server that was down counts as up."
        ),
    )


@dataclass(frozen=True, slots=True)
class Check:
    """An advisor and how it is used.

    Attributes:
        interval, connect_timeout, receive_timeout: seconds.
        fall: failures in a row until down.
        rise: successes in a row until up.
        connect_tries: connections that are tried, each for its time, before it is a failure.
    """

    advisor: Advisor
    at: At
    port: int | None
    interval: float = INTERVAL
    connect_timeout: float = TIMES * INTERVAL
    receive_timeout: float = TIMES * INTERVAL
    fall: int = 1
    rise: int = 1
    connect_tries: int = 1

    @property
    def longest(self) -> float:
        """Return the seconds that it takes at most."""
        return self.connect_tries * self.connect_timeout + self.receive_timeout

    def target(self, address: Address, port: int, server: str = "", service: str = "") -> Target:
        """Return whom to ask; the check's own port wins, then the service's, then the usual one."""
        found = self.port or port or self.advisor.usual_port or 0
        if self.advisor.at_server:  # `exec` tells its command the service's port
            found = self.port or self.advisor.usual_port or port
        return Target(address, found, server, service)


def make(kind: str, given: Mapping[str, object], *, port: int = 0) -> Check:
    """Return the check that a configuration describes.

    Args:
        kind: the advisor's name.
        given: its settings, and those that every advisor has.
        port: the service's, 0 for any.

    Raises:
        UsageError: no such advisor, or no port to ask, or a plug-in fails at its settings.
        SettingsError: settings are wrong; all of them are named.
    """
    found = registry.find(kind)
    mistakes: dict[str, str] = {}
    advisor = common = None
    try:
        advisor = settings.read(found, kind, given, also=settings.meanings(Common))
        mistakes |= advisor.contradictions()
    except SettingsError as error:
        mistakes |= error.mistakes
    except Exception as error:
        raise UsageError(
            f"the advisor {kind} failed at its settings: {error!r}",
            hint="mend or remove the package that brings it",
        ) from error
    try:
        common = settings.read(Common, kind, given, also=dict(given))
        mistakes |= _useless(advisor, common)
    except SettingsError as error:
        mistakes |= error.mistakes
    if mistakes or advisor is None or common is None:
        raise SettingsError(kind, mistakes)
    check = _check(advisor, common)
    needs_port = advisor.transport in {Transport.TCP, Transport.UDP}
    services = 0 if advisor.at_server else port  # about the machine: it listens elsewhere
    if needs_port and not (check.port or services or advisor.usual_port):
        why = "it has no usual port" if advisor.at_server else "the service is for any port"
        raise UsageError(
            f"advisor {kind}: {why}; say which one to ask",
            hint="add `port: NUMBER` to the advisor",
        )
    return check


def _useless(advisor: Advisor | None, common: Common) -> dict[str, str]:
    """Return common settings that would do nothing with this advisor."""
    if advisor is None or advisor.transport is not Transport.PROCESS:
        return {}
    found = {}
    if common.at is At.CLUSTER:
        found["at"] = (
            "a command's connections cannot be led along the way of requests; leave it out, "
            "it asks the server's own address"
        )
    if common.connect_timeout is not None:
        found["connect_timeout"] = "a command has no connection; its time is `receive_timeout`"
    return found


def _check(advisor: Advisor, common: Common) -> Check:
    return Check(
        advisor=advisor,
        at=common.at or (At.SERVER if advisor.at_server else At.CLUSTER),
        port=common.port,
        interval=common.interval,
        connect_timeout=common.connect_timeout or TIMES * common.interval,
        receive_timeout=common.receive_timeout or TIMES * common.interval,
        fall=common.retries + 1,
        rise=common.rise,
    )
