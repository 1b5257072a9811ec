"""What is examined: from the configuration file, or from the command line's words."""

from __future__ import annotations

from ipaddress import ip_address

import pytest

from shunt.config import parse
from shunt.errors import UsageError
from shunt.model.config import OperatingSystem, Protocol
from shunt.verify.selection import from_config, from_words
from shunt.verify.subject import Application, Port

FILE = """\
dispatcher: {interface: eth0}
clusters:
  web:
    address: [192.0.2.10, "2001:db8::10"]
    ports:
      - {port: 80, servers: [a, b], advisor: {type: http, request: HEAD /health, expect: 204}}
      - {port: 443, servers: [b]}
      - {port: 53, protocol: udp, servers: [a]}
      - {port: any, servers: [a]}
  far:
    address: 0.0.0.0
    ports:
      - {port: 25, servers: [a]}
servers:
  a: {address: [192.0.2.21, "2001:db8::21"], os: freebsd}
  b: {address: 192.0.2.22}
"""


def test_a_file_gives_its_clusters_and_says_what_is_left_out() -> None:
    subject, left_out = from_config(parse(FILE, "shunt.yaml"), (), live=False, dispatcher=None)
    assert [str(each.address) for each in subject.clusters] == ["192.0.2.10", "2001:db8::10"]
    assert subject.clusters[0].servers == ("a", "b")
    assert subject.clusters[0].ports == (
        Port(80, Protocol.TCP, Application.HTTP),
        Port(443, Protocol.TCP, Application.HTTPS),
        Port(53, Protocol.UDP),
    )
    advisor = subject.clusters[0].ports[0].advisor
    assert advisor is not None
    assert (advisor.type, advisor.settings["request"]) == ("http", "HEAD /health")
    entry = subject.servers["a"].entry
    assert entry is not None
    assert entry.os is OperatingSystem.FREEBSD
    assert subject.versions == (4, 6)
    any_port = "any port: no single one can be tried; the address itself is examined"
    assert left_out == (
        f"192.0.2.10:any/tcp: {any_port}",
        f"[2001:db8::10]:any/tcp: {any_port}",
        "0.0.0.0:25/tcp: a wildcard names no address to ask for",
    )


def test_a_cluster_is_chosen_by_name_or_address() -> None:
    config = parse(FILE, "shunt.yaml")
    for word in ("2001:db8::10", "2001:DB8:0::10"):
        subject, _ = from_config(config, (word,), live=False, dispatcher=None)
        assert [str(each.address) for each in subject.clusters] == ["2001:db8::10"]
    with pytest.raises(UsageError, match=r"no cluster 'mail', '192\.0\.2\.11'") as raised:
        from_config(config, ("web", "mail", "192.0.2.11"), live=False, dispatcher=None)
    assert raised.value.hint == "The file has: web, far."


def test_every_address_of_the_file_is_reserved_whatever_is_chosen() -> None:
    subject, _ = from_config(
        parse(FILE, "shunt.yaml"), ("2001:db8::10",), live=False, dispatcher=None
    )
    every = ["192.0.2.10", "2001:db8::10", "192.0.2.21", "2001:db8::21", "192.0.2.22"]
    assert subject.reserved == set(map(ip_address, every))


def test_words_give_the_same_without_a_file() -> None:
    subject = from_words(
        ["192.0.2.10"],
        ["a=192.0.2.21,2001:db8::21", "192.0.2.22"],
        ["80", "8081/http", "53/udp", "25/tcp"],
        live=True,
        dispatcher=None,
    )
    assert subject.servers["a"].addresses == (ip_address("192.0.2.21"), ip_address("2001:db8::21"))
    assert list(subject.servers) == ["a", "192.0.2.22"]
    kinds = [port.application for port in subject.clusters[0].ports]
    assert kinds == [Application.HTTP, Application.HTTP, Application.CONNECT, Application.CONNECT]
    assert subject.live


@pytest.mark.parametrize("port", ["0", "65536", "http", "80/gopher", "", "-1"])
def test_a_word_that_is_no_port_is_refused(port: str) -> None:
    with pytest.raises(UsageError, match="is no port"):
        from_words(["192.0.2.10"], ["a=192.0.2.21"], [port], live=False, dispatcher=None)


@pytest.mark.parametrize(
    ("address", "server", "message"),
    [
        ("0.0.0.0", "a=192.0.2.21", "no machine's"),
        ("224.0.0.5", "a=192.0.2.21", "no machine's"),
        ("ff02::1", "a=192.0.2.21", "no machine's"),
        ("192.0.2.10", "a=127.0.0.1", "no machine's"),
        ("192.0.2.10", "a=fe80::1%eth0", "names an interface"),
        ("192.0.2.10", "=192.0.2.21", "has no name"),
    ],
)
def test_what_cannot_be_examined_is_refused(address: str, server: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        from_words([address], [server], [], live=False, dispatcher=None)
