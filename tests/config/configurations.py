"""Right configurations of every shape, as text, for Hypothesis."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import strategies as st

from shunt.model.config import Mode, OnDown, OperatingSystem, Track

names = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,8}", fullmatch=True)
wpars = st.from_regex(r"[A-Za-z1-9_][A-Za-z0-9_-]{0,8}", fullmatch=True)
durations = st.one_of(
    st.integers(1, 86400), st.sampled_from(["1s", "90s", "5m", "12h", "7d", "007"])
)
settings_text = st.text(
    st.characters(exclude_categories=["Cc", "Cs"], exclude_characters="\ufeff\ufffe\uffff"),
    max_size=12,
)
settings = st.recursive(
    settings_text,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(settings_text, inner, max_size=2),
    max_leaves=3,
)
odd_words = st.sampled_from(
    ["", "<<", "~", "null", "on", "08", "1:30", "a: b", "#", "- x", "&a", "*a", "!t"]
)


def optional(**keys: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries({}, optional=keys)


flows = {
    "forward": st.just("mac"),
    "track": st.sampled_from(list(Track)).map(str),
    "on_down": st.sampled_from(list(OnDown)).map(str),
    "stale": durations,
    "udp_idle": durations,
}


managers = optional(
    dynamic=st.sampled_from(["yes", "no"]),
    interval=durations,
    refresh=st.integers(1, 10),
    sensitivity=st.integers(0, 100),
    smoothing=st.sampled_from([1, 1.5, 4.25, 100]),
    weightbound=st.integers(1, 100),
    slow_start=st.one_of(st.just(0), durations),
    min_servers=st.integers(0, 100),
) | st.just({"active": 40, "port": 60})


@st.composite
def stickies(draw: st.DrawFn, ports: list[int]) -> dict[str, Any]:
    cross = st.lists(st.sampled_from(ports), max_size=3)
    keys = optional(mask=st.integers(1, 32), mask6=st.integers(1, 128), cross=cross)
    return {"time": draw(st.one_of(st.just(0), durations))} | draw(keys)


@st.composite
def members(draw: st.DrawFn, servers: list[str]) -> object:
    chosen = draw(st.lists(st.sampled_from(servers), min_size=1, max_size=4, unique=True))
    if draw(st.booleans()):
        return chosen
    weights = st.integers(0, 65535)
    mapping = st.fixed_dictionaries(
        {"weight": weights}, optional={"fixed_weight": st.sampled_from(["yes", "no"])}
    )
    weight: st.SearchStrategy[Any] = st.one_of(weights, st.none(), mapping, st.just({}))
    return {name: draw(weight) for name in chosen}


@st.composite
def clusters(draw: st.DrawFn, addresses: list[str], servers: list[str]) -> dict[str, Any]:
    port = st.one_of(st.integers(0, 65535), st.just(21))
    ports = draw(st.lists(port, min_size=1, max_size=3, unique=True))
    sticky = stickies(ports)
    keys = st.one_of(settings_text, odd_words)
    probe = st.dictionaries(keys, st.one_of(settings, odd_words), max_size=3)
    advisor = st.tuples(names, probe).map(lambda pair: pair[1] | {"type": pair[0]})
    protocol = st.sampled_from(["tcp", "udp", "both"])
    several = st.fixed_dictionaries(
        {"advisor": st.lists(advisor, min_size=2, max_size=8)},
        optional={"advisors_required": st.sampled_from(["all", "any"])},
    )
    one = st.fixed_dictionaries({"advisor": st.one_of(advisor, advisor.map(lambda each: [each]))})
    entry = optional(protocol=protocol, sticky=sticky, **flows)
    entries = [
        {"port": number or draw(st.sampled_from([0, "any"])), "servers": draw(members(servers))}
        | draw(entry)
        | draw(st.one_of(st.just({}), one, several))
        for number in ports
    ]
    return {"address": addresses, "ports": entries} | draw(optional(sticky=sticky, **flows))


@st.composite
def configurations(draw: st.DrawFn) -> dict[str, Any]:
    """Return the data of a right file; `text` writes it."""
    addresses = draw(
        st.lists(
            st.one_of(
                st.integers(1, 254).map(lambda n: f"192.0.2.{n}"),
                st.integers(1, 65535).map(lambda n: f"2001:db8::{n:x}"),
            ),
            min_size=2,
            max_size=12,
            unique=True,
        )
    )
    count = draw(st.integers(1, min(4, len(addresses) - 1)))
    server_names = draw(st.lists(names, min_size=count, max_size=count, unique=True))
    servers: dict[str, Any] = {}
    for name, address in zip(server_names, addresses, strict=False):
        servers[name] = {"address": address} | draw(
            optional(
                weight=st.integers(0, 65535),
                via=st.sampled_from(
                    ["local", "ssh://root@h?sudo=yes&jump=j:22", "winrm://[::1]:5986"]
                ),
                netns=names,
                interface=st.sampled_from(["en0", "Ethernet 2", "é"]),
                metric=st.just({"type": "agent", "port": 5555}),
                accept=st.sampled_from([["forwards"], "forwards", []]),
                gateway=st.just("198.51.100.1"),
                mac=st.sampled_from(["02:00:00:00:00:21", "52-54-00-AB-cd-ef"]),
            )
        )
        system = draw(st.sampled_from(list(OperatingSystem)))
        servers[name] |= {"os": str(system)}
        if system is OperatingSystem.AIX_WPAR:
            servers[name] |= {"wpar": draw(wpars), "via": f"ssh://root@aix{len(servers)}"}
    rest = addresses[count:]
    cut = draw(st.integers(1, len(rest)))
    groups = [group for group in (rest[:cut], [*rest[cut:], "0.0.0.0"]) if group]
    named = draw(st.lists(names, min_size=len(groups), max_size=len(groups), unique=True))
    interface = st.sampled_from(["eth0", "bond0.12", "no", "1"])
    dispatcher = draw(
        optional(
            mode=st.sampled_from(list(Mode)).map(str),
            group=st.sampled_from(["adm", "_x"]),
            secret=st.binary(min_size=16, max_size=16).map(bytes.hex),
            exceptions=st.integers(1024, 1 << 26),
            exceptions_rate=st.integers(1, 10**8),
            announce=durations,
            hooks=st.just("/opt/hooks"),
        )
    )
    interfaces = st.lists(interface, min_size=1, max_size=2)
    dispatcher["interface"] = draw(st.one_of(interface, interfaces))
    return draw(optional(manager=managers)) | {
        "dispatcher": dispatcher,
        "clusters": {
            name: draw(clusters(group, server_names))
            for name, group in zip(named, groups, strict=True)
        },
        "servers": servers,
    }


def text(data: dict[str, Any]) -> str:
    """Return the data as YAML: JSON is YAML, but for null, which is a word in this format."""
    return json.dumps(data, ensure_ascii=False).replace(": null", ": ")
