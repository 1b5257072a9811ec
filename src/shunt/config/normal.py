"""The model back to text: every default filled in, always in the same order.

`parse(dump(config)) == config` for every `config` that this room made.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING

import yaml

if TYPE_CHECKING:
    from shunt.model.config import (
        Advisor,
        Config,
        Dispatcher,
        Manager,
        Member,
        Server,
        Service,
        Sticky,
    )

_BLANK = "(not shown)"
_SECRETS = re.compile(r"(?i)passw|passphrase|secret|token|credential|api_?key|private_?key")
_SENT = {"send"}  # a line of it may log in
_COMMAND = "command"  # any argument may be a password; the program is none
_FIELD = re.compile(r"([!#$%&'*+.^_`|~0-9A-Za-z-]+)\s*:.*", re.DOTALL)
_QUERY = re.compile(r"\?.*", re.DOTALL)

Normal = str | int | float | list["Normal"] | dict[str, "Normal"]


def normalised(config: Config, *, secret: bool = True) -> dict[str, Normal]:
    """Return the file's keys as plain data, numbers as numbers.

    With `secret` False the hash key is left out, and what opens doors in advisors' settings is
    blanked: passwords, values of header fields, queries, arguments of commands, and what is sent.
    """
    return {
        "dispatcher": _dispatcher(config.dispatcher, secret=secret),
        "clusters": _clusters(config.services, secret=secret),
        "servers": {name: _server(each, secret=secret) for name, each in config.servers.items()},
        "manager": _manager(config.manager),
    }


def dump(config: Config, *, secret: bool = True) -> str:
    """Return the file's text; with `secret` False without what opens doors."""
    return yaml.dump(
        normalised(config, secret=secret),
        Dumper=_Dumper,
        sort_keys=False,
        allow_unicode=True,
        width=100,
    )


def _dispatcher(dispatcher: Dispatcher, *, secret: bool) -> Normal:
    return _given(
        interface=[*dispatcher.interfaces],
        mode=dispatcher.mode.value,
        group=dispatcher.group,
        secret=dispatcher.secret.hex() if dispatcher.secret and secret else None,
        exceptions=dispatcher.exceptions,
        exceptions_rate=dispatcher.exceptions_rate,
        announce=dispatcher.announce,
        hooks=dispatcher.hooks,
    )


def _manager(manager: Manager) -> Normal:
    return {
        "dynamic": "yes" if manager.dynamic else "no",
        "active": manager.active,
        "new": manager.new,
        "port": manager.port,
        "system": manager.system,
        "interval": manager.interval,
        "refresh": manager.refresh,
        "sensitivity": manager.sensitivity,
        "smoothing": manager.smoothing / 100,
        "weightbound": manager.weightbound,
        "slow_start": manager.slow_start,
        "min_servers": manager.min_servers,
    }


def _clusters(services: tuple[Service, ...], *, secret: bool) -> dict[str, Normal]:
    """Return the clusters; each service of a cluster's first address stands for one port entry."""
    clusters: dict[str, list[Service]] = {}
    for service in services:
        clusters.setdefault(service.cluster, []).append(service)
    return {
        name: {
            "address": [str(address) for address in dict.fromkeys(s.address for s in members)],
            "ports": [_port(s, secret=secret) for s in members if s.address == members[0].address],
        }
        for name, members in clusters.items()
    }


def _port(service: Service, *, secret: bool) -> Normal:
    return _given(
        port=service.port or "any",
        protocol=service.protocol.value,
        servers={member.server: _member(member) for member in service.members},
        forward=service.forward.value,
        track=service.track.value,
        on_down=service.on_down.value,
        stale=service.stale,
        udp_idle=service.udp_idle,
        sticky=_sticky(service.sticky),
        advisor=_advisors(service, secret=secret),
        advisors_required=service.advisors_required.value if len(service.advisors) > 1 else None,
    )


def _advisors(service: Service, *, secret: bool) -> Normal | None:
    found: list[Normal] = [_advisor(advisor, secret=secret) for advisor in service.advisors]
    return found if len(found) > 1 else next(iter(found), None)


def _member(member: Member) -> Normal:
    return {"weight": member.weight, "fixed_weight": "yes"} if member.fixed else member.weight


def _sticky(sticky: Sticky | None) -> Normal | None:
    if sticky is None:
        return None
    cross: list[Normal] = [port or "any" for port in sticky.cross]
    return {"time": sticky.time, "mask": sticky.mask4, "mask6": sticky.mask6, "cross": cross}


def _advisor(advisor: Advisor, *, secret: bool) -> Normal:
    settings = {
        key: _setting(value) if secret else _blanked(key, value)
        for key, value in advisor.settings.items()
    }
    return {"type": advisor.type} | settings


def _blanked(key: str, value: object) -> Normal:
    """Return a setting without what opens doors: the name of a header field may be anything."""
    if _SECRETS.search(key) or key in _SENT:
        return _BLANK
    if isinstance(value, Mapping):
        return {name: _blanked(name, item) for name, item in value.items()}
    if isinstance(value, tuple) and key == _COMMAND:
        return [*(str(word) for word in value[:1]), *(_BLANK for _ in value[1:])]
    if isinstance(value, tuple):
        return [_blanked(key, item) for item in value]
    if key == "headers":
        return _FIELD.sub(rf"\1: {_BLANK}", str(value))
    return _QUERY.sub(f"?{_BLANK}", str(value)) if key == "request" else str(value)


def _setting(value: object) -> Normal:
    if isinstance(value, Mapping):
        return {key: _setting(item) for key, item in value.items()}
    return [_setting(item) for item in value] if isinstance(value, tuple) else str(value)


def _server(server: Server, *, secret: bool) -> Normal:
    return _given(
        address=[str(address) for address in server.addresses],
        weight=server.weight,
        os=server.os.value,
        via=server.via,
        wpar=server.wpar,
        gateway=str(server.gateway) if server.gateway else None,
        netns=server.netns,
        interface=server.interface,
        metric=_advisor(server.metric, secret=secret) if server.metric else None,
        accept=[str(each) for each in server.accept] or None,
        mac=str(server.mac) if server.mac else None,
    )


def _given(**keys: Normal | None) -> dict[str, Normal]:
    return {key: value for key, value in keys.items() if value is not None}


class _Dumper(yaml.SafeDumper):
    """Writes text without quotes wherever this room's reader, which guesses nothing, needs none."""

    def ignore_aliases(self, _data: object) -> bool:
        return True


def _text(dumper: _Dumper, text: str) -> yaml.ScalarNode:
    style = "'" if text in {"", "<<"} else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


def _int(dumper: _Dumper, number: int) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", str(number))


def _float(dumper: _Dumper, number: float) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", f"{number:g}")


def _sequence(dumper: _Dumper, items: list[Normal]) -> yaml.SequenceNode:
    flow = not any(isinstance(item, list | dict) for item in items)
    return dumper.represent_sequence("tag:yaml.org,2002:seq", items, flow_style=flow)


_Dumper.yaml_implicit_resolvers = {}
_Dumper.add_representer(str, _text)
_Dumper.add_representer(int, _int)
_Dumper.add_representer(float, _float)
_Dumper.add_representer(list, _sequence)
