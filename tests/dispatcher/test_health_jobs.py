"""Which checks a file asks for, where they go, and where its mistakes are."""

from __future__ import annotations

import pytest

from shunt.config import parse, parse_located
from shunt.dispatcher.health_jobs import METRIC, Key, Rule, check_advisors, jobs, rules
from shunt.dispatcher.wishes import Way
from shunt.errors import ConfigError
from shunt.model.addresses import Mac

FILE = """\
dispatcher: {interface: eth0}
clusters:
  web:
    address: [192.0.2.10, "2001:db8::10"]
    ports:
      - {port: 80, servers: [a, b], advisor: {type: http}}
      - {port: 53, protocol: both, servers: [a], advisor: {type: dns, at: server}}
      - {port: 81, servers: [a]}
  all:
    address: 0.0.0.0
    ports: [{port: 80, servers: [b], advisor: {type: connect}}]
servers:
  a: {address: [192.0.2.21, "2001:db8::21"], metric: {type: agent, port: 7777}}
  b: {address: 192.0.2.22}
"""
WAYS = {"a": Way(Mac(b"\2" * 6), 3), "b": Way(None, 3)}


def test_each_member_is_checked_along_the_way_or_at_its_own_address() -> None:
    found = jobs(parse(FILE, "f"), WAYS, {"a": 100, "b": 200}.__getitem__)
    places = {(key.service, key.server): (job.target.place, job.mark) for key, job in found.items()}
    assert places == {
        ("192.0.2.10:80/tcp", "a"): ("192.0.2.10:80", 100),
        ("[2001:db8::10]:80/tcp", "a"): ("[2001:db8::10]:80", 100),
        ("192.0.2.10:53/tcp", "a"): ("192.0.2.21:53", 0),
        ("192.0.2.10:53/udp", "a"): ("192.0.2.21:53", 0),
        ("[2001:db8::10]:53/tcp", "a"): ("[2001:db8::21]:53", 0),
        ("[2001:db8::10]:53/udp", "a"): ("[2001:db8::21]:53", 0),
        ("0.0.0.0:80/tcp", "b"): ("192.0.2.22:80", 0),
        (METRIC, "a"): ("192.0.2.21:7777", 0),
    }
    known = jobs(parse(FILE, "f"), {**WAYS, "b": WAYS["a"]}, lambda _: 7)
    assert known[Key("192.0.2.10:80/tcp", "b")].mark == 7


SEVERAL = "[{type: http}, {type: connect, port: 81, at: server}], advisors_required: any"


def test_several_advisors_are_several_checks_of_one_server() -> None:
    config = parse(FILE.replace("{type: http}", SEVERAL), "f")
    found = jobs(config, WAYS, lambda _: 7)
    service = "192.0.2.10:80/tcp"
    assert found[Key(service, "a")].target.place == "192.0.2.10:80"
    assert found[Key(service, "a", 1)].target.place == "192.0.2.21:81"
    assert found[Key(service, "b", 1)].target.place == "192.0.2.22:81"
    assert Key(service, "a", 1).whole == Key(service, "a").whole == Key(service, "a")
    rule = Rule(("http", "connect 81"), every=False)
    assert rules(config) == {service: rule, "[2001:db8::10]:80/tcp": rule}


def test_a_command_is_told_the_servers_own_address() -> None:
    file = FILE.replace("{type: http}", "{type: exec, command: [/bin/check, '%a', '%p']}")
    found = jobs(parse(file, "f"), WAYS, lambda _: 7)
    job = found[Key("192.0.2.10:80/tcp", "a")]
    assert job.mark == 0
    assert job.check.advisor.argv(job.target) == ["/bin/check", "192.0.2.21", "80"]
    unknown = found[Key("192.0.2.10:80/tcp", "b")]  # whose MAC nobody knows
    assert unknown.target.place == "192.0.2.22:80"


@pytest.mark.parametrize(
    ("old", "new", "where"),
    [
        (
            "{type: http}",
            "{type: htp}",
            ("f:6:", "clusters.web.ports[0].advisor.type: no advisor is called"),
        ),
        (
            "{type: dns, at: server}",
            "{type: dns, at: x}",
            ("f:7:", "clusters.web.ports[1].advisor.at: `x` is not known"),
        ),
        (
            "{type: connect}",
            "{type: connect, oh: 1}",
            ("f:11:", "clusters.all.ports[0].advisor.oh: is no setting"),
        ),
        (
            "{type: http}",
            "{type: http, body: 'up(?!!)'}",
            ("f:6:", "ports[0].advisor.body: `up(?!!)` has looking ahead", "(?! at character 3"),
        ),
        (
            "{type: http}",
            "[{type: ping}, {type: http, expect: x}]",
            ("f:6:", "clusters.web.ports[0].advisor[1].expect: `x` is no status"),
        ),
        ("port: 7777", "port: 7", ()),
        (
            "type: agent, port: 7777",
            "type: agent",
            ("f:13:", "servers.a.metric.type: ", "port: NUMBER"),
        ),
        ("port: 7777", "port: 7, at: server", ()),
        (
            "port: 7777",
            "port: 7, at: cluster",
            ("f:13:", "servers.a.metric.at: a metric is the machine's"),
        ),
        (
            "port: 7777",
            "port: 7, retries: 2",
            ("f:13:", "servers.a.metric.retries: a metric takes no server out"),
        ),
        (
            "port: 7777",
            "port: 7, rise: 2",
            ("f:13:", "servers.a.metric.rise: a metric takes no server out"),
        ),
        (
            "type: connect}",
            "type: agent}",
            ("f:11:", "clusters.all.ports[0].advisor.type: ", "has no usual port", "port: NUMBER"),
        ),
        (
            "{type: connect}",
            "{type: exec, command: /bin/true, at: cluster}",
            ("f:11:", "clusters.all.ports[0].advisor.at: a command's connections cannot be led"),
        ),
        (
            "{type: connect}",
            "{type: exec, command: /bin/true, connect_timeout: 1s}",
            ("f:11:", "clusters.all.ports[0].advisor.connect_timeout: a command has no"),
        ),
    ],
)
def test_mistakes_are_named_with_their_places(old: str, new: str, where: tuple[str, ...]) -> None:
    located = parse_located(FILE.replace(old, new), "f")
    if not where:
        check_advisors(located)
        return
    with pytest.raises(ConfigError) as caught:
        check_advisors(located)
    (message,) = str(caught.value).splitlines()
    assert message.startswith(where[0])
    assert all(words in message for words in where)
