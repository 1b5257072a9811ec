"""Which checks a configuration asks for, and where along the way each of them goes; pure.

A check asks the cluster address at one server (its mark says which), so that a lost alias is seen;
where that cannot be, it asks the server's own address: for clusters that stand for every address,
for forwarding that does not bring frames to the cluster address, and where the file says so.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from itertools import product
from typing import TYPE_CHECKING

from shunt.advisors import check as checks
from shunt.advisors.check import At, Check
from shunt.advisors.rounds import Job
from shunt.advisors.settings import SettingsError
from shunt.errors import ConfigError, Problem, UsageError
from shunt.model.config import AdvisorsRequired, Forward

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from shunt.config import Located
    from shunt.dispatcher.wishes import Way
    from shunt.model.addresses import Address
    from shunt.model.config import Advisor, Config, Server, Service

METRIC = ""  # stands for the service in the key of a server's metric
_NEVER_DOWN = "a metric takes no server out; leave it out, or say it of an advisor"
_USELESS_TO_METRICS = {
    "retries": _NEVER_DOWN,
    "rise": _NEVER_DOWN,
    "at": "a metric is the machine's, which has no cluster address of its own; leave it out",
}


@dataclass(frozen=True, slots=True)
class Key:
    """A check: of a server in a service, or of a server's metric (service METRIC).

    Attributes:
        number: which of the service's advisors; 0 stands for all of them, where they are one.
    """

    service: str
    server: str
    number: int = 0

    @property
    def whole(self) -> Key:
        """Return what stands for all checks of the server in the service."""
        return self if not self.number else Key(self.service, self.server)


@dataclass(frozen=True, slots=True)
class Rule:
    """How several advisors of a service make one state.

    Attributes:
        labels: of the advisors, for a person.
        every: all must find a server well; else one is enough.
    """

    labels: tuple[str, ...]
    every: bool


def rules(config: Config) -> dict[str, Rule]:
    """Return the rule of each service that has several advisors."""
    return {
        service.name: Rule(
            tuple(map(_label, service.advisors)),
            every=service.advisors_required is AdvisorsRequired.ALL,
        )
        for service in config.services
        if len(service.advisors) > 1
    }


def _label(advisor: Advisor) -> str:
    port = advisor.settings.get("port")
    return f"{advisor.type} {port}" if port else advisor.type


def check_of(advisor: Advisor, port: int) -> Check:
    """Return an advisor's check.

    Raises:
        UsageError: the settings are wrong.
    """
    return checks.make(advisor.type, advisor.settings, port=port)


def metric_of(metric: Advisor) -> Check:
    """Return the check that measures a machine.

    Raises:
        UsageError: the settings are wrong, or would do nothing.
    """
    given = dict(metric.settings)
    if given.get("at") == At.SERVER:  # as it is anyway
        del given["at"]
    useless = {key: words for key, words in _USELESS_TO_METRICS.items() if key in given}
    try:
        check = checks.make(metric.type, metric.settings)
    except SettingsError as error:
        raise SettingsError(metric.type, {**useless, **error.mistakes}) from None
    if useless:
        raise SettingsError(metric.type, useless)
    return check


def check_advisors(located: Located) -> None:
    """Look at the settings of every advisor of a file.

    Raises:
        ConfigError: some are wrong; all of them, each with its line.
    """
    problems: list[Problem] = []
    config = located.config
    for name, server in config.servers.items():
        if server.metric is not None:
            problems += _problems(
                located, partial(metric_of, server.metric), ("servers", name, "metric")
            )
    for service, path in _places(located):
        for number, advisor in enumerate(service.advisors):
            place = (*path, "advisor", number)  # the number is not there where they are one
            problems += _problems(located, partial(check_of, advisor, service.port), place)
    if problems:
        raise ConfigError(located.file, tuple(dict.fromkeys(problems)))


def _places(located: Located) -> Iterator[tuple[Service, tuple[str | int, ...]]]:
    """Yield one service for each port of each cluster in the file, with the port's path.

    A port with `protocol: both` has made two services for each address.
    """
    clusters: dict[str, list[Service]] = {}
    for service in located.config.services:
        clusters.setdefault(service.cluster, []).append(service)
    for name, services in clusters.items():
        index = -1
        before: Service | None = None
        for service in services:
            if service.address != services[0].address:
                break
            if before is None or replace(before, protocol=service.protocol) != service:
                index += 1
                yield service, ("clusters", name, "ports", index)
            before = service


def _problems(
    located: Located, make: Callable[[], Check], path: tuple[str | int, ...]
) -> list[Problem]:
    try:
        make()
    except SettingsError as error:
        return [located.problem((*path, key), message) for key, message in error.mistakes.items()]
    except UsageError as error:
        hint = f"; {error.hint}" if error.hint else ""
        return [located.problem((*path, "type"), error.message + hint)]
    return []


def jobs(config: Config, ways: Mapping[str, Way], mark: Callable[[str], int]) -> dict[Key, Job]:
    """Return the checks that can be made now.

    A server whose MAC is not known is not checked along the forwarding path: nothing is forwarded
    to it either, and `shunt status` says why.

    Args:
        config: in force.
        ways: how frames get to each server.
        mark: the mark of a server's name.
    """
    found: dict[Key, Job] = {}
    for service in config.services:
        checks_ = [_fitting(check_of(each, service.port), service) for each in service.advisors]
        for (number, check), member in product(enumerate(checks_), service.members):
            server = config.servers[member.server]
            key = Key(service.name, server.name, number)
            if check.at is At.SERVER:
                own = _own(server, service.address)
                found[key] = Job(check, check.target(own, service.port, server.name, service.name))
            elif server.name in ways and ways[server.name].mac is not None:
                target = check.target(service.address, service.port, server.name, service.name)
                found[key] = Job(check, target, mark(server.name))
    for server in config.servers.values():
        if server.metric is not None:
            check = metric_of(server.metric)
            target = check.target(server.addresses[0], 0, server.name)
            found[Key(METRIC, server.name)] = Job(check, target)
    return found


def _fitting(check: Check, service: Service) -> Check:
    reachable = service.forward is Forward.MAC and not service.address.is_unspecified
    return check if reachable else replace(check, at=At.SERVER)


def _own(server: Server, cluster: Address) -> Address:
    """Return the server's own address in the cluster's family, if it has one."""
    of_family = (a for a in server.addresses if a.version == cluster.version)
    return next(of_family, server.addresses[0])
